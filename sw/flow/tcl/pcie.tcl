# A PCI Express card: XDMA between the host, the accelerator's registers and a memory on the chip.
# Its bus has a clock of its own (250 MHz); the accelerator's is made of it.

# The card's lanes are on these transceivers, beside this one of the device's PCI Express blocks.
create_bd_cell -type ip -vlnv xilinx.com:ip:xdma:4.1 xdma
set_property -dict [list \
    CONFIG.mode_selection {Advanced} \
    CONFIG.en_gt_selection {true} \
    CONFIG.select_quad {GTY_Quad_227} \
    CONFIG.pcie_blk_locn {X1Y2} \
    CONFIG.pl_link_cap_max_link_width {X8} \
    CONFIG.pl_link_cap_max_link_speed {8.0_GT/s} \
    CONFIG.axi_data_width {256_bit} \
    CONFIG.axilite_master_en {true} \
    CONFIG.axilite_master_size {2} \
    CONFIG.axilite_master_scale {Megabytes} \
] [get_bd_cells xdma]
create_bd_cell -type ip -vlnv xilinx.com:ip:util_ds_buf:2.2 reference
set_property CONFIG.C_BUF_TYPE {IBUFDSGTE} [get_bd_cells reference]
make_bd_intf_pins_external -name pcie_refclk [get_bd_intf_pins reference/CLK_IN_D]
make_bd_intf_pins_external -name pcie [get_bd_intf_pins xdma/pcie_mgt]
make_bd_pins_external -name pcie_reset_n [get_bd_pins xdma/sys_rst_n]
connect_bd_net [get_bd_pins reference/IBUF_OUT] [get_bd_pins xdma/sys_clk_gt]
connect_bd_net [get_bd_pins reference/IBUF_DS_ODIV2] [get_bd_pins xdma/sys_clk]

create_bd_cell -type ip -vlnv xilinx.com:ip:clk_wiz:6.0 clock
set_property -dict [list \
    CONFIG.PRIM_SOURCE {No_buffer} \
    CONFIG.PRIM_IN_FREQ {250} \
    CONFIG.CLKOUT1_REQUESTED_OUT_FREQ $mhz \
    CONFIG.RESET_TYPE {ACTIVE_LOW} \
] [get_bd_cells clock]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset
connect_bd_net [get_bd_pins xdma/axi_aclk] [get_bd_pins clock/clk_in1]
connect_bd_net [get_bd_pins xdma/axi_aresetn] [get_bd_pins clock/resetn] \
    [get_bd_pins reset/ext_reset_in]
connect_bd_net [get_bd_pins clock/locked] [get_bd_pins reset/dcm_locked]

# 1 MiB of memory at address 0, which both reach. UltraRAM has one clock and no safety circuit; the
# controller must wait as long for it as it takes.
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_bram_ctrl:4.1 store
set_property -dict [list CONFIG.DATA_WIDTH {512} CONFIG.SINGLE_PORT_BRAM {1} \
    CONFIG.READ_LATENCY {3}] [get_bd_cells store]
create_bd_cell -type ip -vlnv xilinx.com:ip:blk_mem_gen:8.4 cells
set_property -dict [list \
    CONFIG.PRIM_type_to_Implement {URAM} \
    CONFIG.Assume_Synchronous_Clk {true} \
    CONFIG.EN_SAFETY_CKT {false} \
    CONFIG.READ_LATENCY_A {3} \
] [get_bd_cells cells]
connect_bd_intf_net [get_bd_intf_pins store/BRAM_PORTA] [get_bd_intf_pins cells/BRAM_PORTA]

foreach {name masters} {memory 2 registers 1} {
    # The DRAM (dram.tcl) is the second slave of both, and has the third clock.
    create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 $name
    set_property -dict [list CONFIG.NUM_SI $masters CONFIG.NUM_MI {2} CONFIG.NUM_CLKS {3}] \
        [get_bd_cells $name]
    connect_bd_net [get_bd_pins xdma/axi_aclk] [get_bd_pins $name/aclk]
    connect_bd_net [get_bd_pins clock/clk_out1] [get_bd_pins $name/aclk1]
    connect_bd_net [get_bd_pins xdma/axi_aresetn] [get_bd_pins $name/aresetn]
}
connect_bd_intf_net [get_bd_intf_pins xdma/M_AXI] [get_bd_intf_pins memory/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins heddle/m_axi] [get_bd_intf_pins memory/S01_AXI]
connect_bd_intf_net [get_bd_intf_pins memory/M00_AXI] [get_bd_intf_pins store/S_AXI]
connect_bd_intf_net [get_bd_intf_pins xdma/M_AXI_LITE] [get_bd_intf_pins registers/S00_AXI]
connect_bd_intf_net [get_bd_intf_pins registers/M00_AXI] [get_bd_intf_pins heddle/s_axil]
foreach pin {reset/slowest_sync_clk heddle/clk store/s_axi_aclk} {
    connect_bd_net [get_bd_pins clock/clk_out1] [get_bd_pins $pin]
}
connect_bd_net [get_bd_pins reset/peripheral_reset] [get_bd_pins heddle/rst]
connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins store/s_axi_aresetn]

create_bd_addr_seg -range 1M -offset 0x0 [get_bd_addr_spaces xdma/M_AXI] \
    [get_bd_addr_segs store/S_AXI/Mem0] host_memory
create_bd_addr_seg -range 1M -offset 0x0 [get_bd_addr_spaces heddle/m_axi] \
    [get_bd_addr_segs store/S_AXI/Mem0] device_memory
create_bd_addr_seg -range 8K -offset 0x0 [get_bd_addr_spaces xdma/M_AXI_LITE] \
    [get_bd_addr_segs heddle/s_axil/registers] host_registers
