"""Nothing is pruned: what the others are compared with."""

from .rule import Rule


class Dense(Rule):
    """All weights, always."""
