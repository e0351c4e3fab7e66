"""Arithmetic that has no state: operands decoded from elements, and the one rounding."""
