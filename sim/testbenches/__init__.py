"""Cocotb testbenches, one a block: random traffic and stalls against the golden model."""
