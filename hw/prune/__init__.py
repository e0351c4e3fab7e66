"""The pruner: FP32 weights in tensor memory become compact N:M ones, along both axes at once."""
