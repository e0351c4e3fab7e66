# No block design: the Verilog has pins, PLL, serial line and accelerator. Its clock follows from the
# oscillator's, so another one (mhz) needs other Verilog.

add_files -norecurse [file join $here top.v]
set top top
