"""What becomes logic: Amaranth gateware and the configuration everything else derives from."""
