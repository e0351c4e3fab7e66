"""Parts that know nothing of the accelerator: FIFOs, pipeline registers, Verilog text."""
