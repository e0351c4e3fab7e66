# VCU1525 (AMD UG1268): PCI Express' reference clock and reset. The lanes follow from the XDMA's
# own constraints.
set_property PACKAGE_PIN AM11 [get_ports {pcie_refclk_clk_p[0]}]
set_property PACKAGE_PIN AM10 [get_ports {pcie_refclk_clk_n[0]}]
create_clock -name pcie_refclk -period 10.000 [get_ports {pcie_refclk_clk_p[0]}]
set_property PACKAGE_PIN BD21 [get_ports pcie_reset_n]
set_property IOSTANDARD LVCMOS12 [get_ports pcie_reset_n]
set_property PULLUP true [get_ports pcie_reset_n]
set_false_path -from [get_ports pcie_reset_n]
# The configuration bank's supply.
set_property CFGBVS GND [current_design]
set_property CONFIG_VOLTAGE 1.8 [current_design]
