# Builds the project in this folder: vivado -mode batch -source build.tcl
# What it needs to know is set above.

set here [file dirname [file normalize [info script]]]
create_project -force heddle [file join $here vivado] -part $part
set_property ip_repo_paths [file join $here ip] [current_project]
update_ip_catalog

create_bd_design system
create_bd_cell -type ip -vlnv heddle:heddle:${module}:1.0 heddle
source [file join $here system.tcl]
assign_bd_address
validate_bd_design
save_bd_design

set wrapper [make_wrapper -files [get_files system.bd] -top]
add_files -norecurse $wrapper
set_property top system_wrapper [current_fileset]
if {$wires ne ""} {
    add_files -fileset constrs_1 -norecurse [file join $here $wires]
}

launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "the implementation did not finish: see vivado/heddle.runs"
}
open_run impl_1
report_timing_summary -file [file join $here timing.rpt]
report_utilization -hierarchical -file [file join $here utilization.rpt]
set slack [get_property SLACK [get_timing_paths]]
puts "slack at $mhz MHz: $slack ns"

# PYNQ wants the block design's description beside the bitstream, under the same name.
set runs [file join $here vivado heddle.runs impl_1]
file copy -force [file join $runs system_wrapper.bit] [file join $here heddle.bit]
foreach description [glob -nocomplain -directory $here vivado/heddle.gen/*/bd/system/hw_handoff/system.hwh] {
    file copy -force $description [file join $here heddle.hwh]
}
if {$slack < 0} {
    error "timing is missed by [expr {-$slack}] ns: lower the clock in build.tcl"
}
