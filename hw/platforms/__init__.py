"""Boards: what each one carries, its pins, its PLL, its top level."""

from .boards import BOARDS, Board, Build, Family, board

__all__ = ["BOARDS", "Board", "Build", "Family", "board"]
