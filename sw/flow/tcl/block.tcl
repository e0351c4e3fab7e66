# A block design around the accelerator, which is a block in ip/.

set_property ip_repo_paths [file join $here ip] [current_project]
update_ip_catalog
create_bd_design system
create_bd_cell -type ip -vlnv heddle:heddle:heddle_memory:1.0 heddle
