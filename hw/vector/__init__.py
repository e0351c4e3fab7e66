"""The vector unit: what is not a matrix product, one binary32 operation a cycle and lane."""
