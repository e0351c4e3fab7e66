"""What runs gateware: Verilator, Amaranth's simulator, and what they share."""
