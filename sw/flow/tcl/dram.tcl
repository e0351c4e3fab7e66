
# The card's DRAM, of its four channels the one in PCI Express' region: external memory, from 16 GiB
# on. Pins, clock and DIMM are those of the board's description. Its bus has a clock of its own.
create_bd_cell -type ip -vlnv xilinx.com:ip:ddr4:2.2 dram
set_property -dict [list \
    CONFIG.C0_CLOCK_BOARD_INTERFACE {default_300mhz_clk1} \
    CONFIG.C0_DDR4_BOARD_INTERFACE {ddr4_sdram_c1} \
    CONFIG.C0.DDR4_MemoryType {RDIMMs} \
    CONFIG.C0.DDR4_TimePeriod {833} \
    CONFIG.C0.DDR4_InputClockPeriod {3332} \
    CONFIG.C0.DDR4_CasLatency {17} \
    CONFIG.C0.DDR4_CasWriteLatency {12} \
    CONFIG.C0.DDR4_DataWidth {72} \
    CONFIG.C0.DDR4_Ecc {true} \
    CONFIG.C0.DDR4_DataMask {NONE} \
    CONFIG.C0.DDR4_AxiDataWidth {512} \
    CONFIG.C0.DDR4_AxiAddressWidth {34} \
] [get_bd_cells dram]
make_bd_intf_pins_external -name default_300mhz_clk1 [get_bd_intf_pins dram/C0_SYS_CLK]
make_bd_intf_pins_external -name ddr4_sdram_c1 [get_bd_intf_pins dram/C0_DDR4]

# Nothing reaches it before it is calibrated: requests wait.
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 dram_reset
set_property CONFIG.C_EXT_RESET_HIGH {1} [get_bd_cells dram_reset]
connect_bd_net [get_bd_pins reset/peripheral_reset] [get_bd_pins dram/sys_rst]
connect_bd_net [get_bd_pins dram/c0_ddr4_ui_clk] [get_bd_pins dram_reset/slowest_sync_clk] \
    [get_bd_pins memory/aclk2] [get_bd_pins registers/aclk2]
connect_bd_net [get_bd_pins dram/c0_ddr4_ui_clk_sync_rst] [get_bd_pins dram_reset/ext_reset_in]
connect_bd_net [get_bd_pins dram/c0_init_calib_complete] [get_bd_pins dram_reset/dcm_locked]
connect_bd_net [get_bd_pins dram_reset/peripheral_aresetn] [get_bd_pins dram/c0_ddr4_aresetn]

# With an error correcting code its registers must be on a bus too.
connect_bd_intf_net [get_bd_intf_pins memory/M01_AXI] [get_bd_intf_pins dram/C0_DDR4_S_AXI]
connect_bd_intf_net [get_bd_intf_pins registers/M01_AXI] [get_bd_intf_pins dram/C0_DDR4_S_AXI_CTRL]
create_bd_addr_seg -range 16G -offset 0x400000000 [get_bd_addr_spaces xdma/M_AXI] \
    [get_bd_addr_segs dram/C0_DDR4_MEMORY_MAP/C0_DDR4_ADDRESS_BLOCK] host_dram
create_bd_addr_seg -range 16G -offset 0x400000000 [get_bd_addr_spaces heddle/m_axi] \
    [get_bd_addr_segs dram/C0_DDR4_MEMORY_MAP/C0_DDR4_ADDRESS_BLOCK] device_dram
create_bd_addr_seg -range 1M -offset 0x100000 [get_bd_addr_spaces xdma/M_AXI_LITE] \
    [get_bd_addr_segs dram/C0_DDR4_MEMORY_MAP_CTRL/C0_REG] dram_registers
