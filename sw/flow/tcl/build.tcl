# Builds the project in this folder: vivado -mode batch -source build.tcl
# What it needs to know is set above.

set here [file dirname [file normalize [info script]]]
create_project -force heddle [file join $here vivado] -part $part
if {$board ne ""} {
    set_property board_part $board [current_project]
}
if {$wires ne ""} {
    add_files -fileset constrs_1 -norecurse [file join $here $wires]
}
source [file join $here system.tcl]
set_property top $top [current_fileset]

launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "the implementation did not finish: see vivado/heddle.runs"
}
open_run impl_1
report_timing_summary -file [file join $here timing.rpt]
report_utilization -hierarchical -file [file join $here utilization.rpt]
set worst [get_timing_paths]
set slack [get_property SLACK $worst]
puts "slack at $mhz MHz: $slack ns, of [get_property REQUIREMENT $worst] ns"

file copy -force [file join $here vivado heddle.runs impl_1 $top.bit] [file join $here heddle.bit]
# PYNQ wants the block design's description beside the bitstream, under the same name.
foreach description [glob -nocomplain -directory $here vivado/heddle.gen/*/bd/system/hw_handoff/system.hwh] {
    file copy -force $description [file join $here heddle.hwh]
}
if {$slack < 0} {
    error "timing is missed by [expr {-$slack}] ns: lower the clock (mhz, at the top of build.tcl)"
}
