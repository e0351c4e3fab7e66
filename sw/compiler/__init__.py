"""From weights and a configuration to commands: N:M, packing, tiling, load order, cycles."""
