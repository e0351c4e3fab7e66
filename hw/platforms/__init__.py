"""Boards: what each one carries, its pins, its PLL, its top level."""

from .boards import BOARDS, Board, Build, board

__all__ = ["BOARDS", "Board", "Build", "board"]
