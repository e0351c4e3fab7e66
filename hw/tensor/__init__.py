"""Tensor memory, and what reads and writes it word after word."""
