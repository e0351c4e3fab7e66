"""Formal proofs of the stream controllers."""
