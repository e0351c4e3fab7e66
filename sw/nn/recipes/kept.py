"""Kept positions: masks that are held, so that only kept weights need a gradient.

`Kept` trains as BDWP does until its masks have settled. `Static` holds the masks of the first
weights: Mozaffari et al., SLoPe, ICLR 2025.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .bdwp import Bdwp
from .rule import Moment, Pruned


@dataclass
class Kept(Bdwp):
    """BDWP for a share of the steps; then the forward mask is frozen, backward weights are the N
    largest along C of those that it keeps, and weights outside it have neither value nor gradient.
    """

    after: float = 0.3
    """The share of the steps before the mask is frozen."""

    SPARSE: ClassVar[tuple[str, ...]] = ("FF", "BP", "WU")
    STATE: ClassVar[tuple[str, ...]] = ("frozen",)
    SOURCE: ClassVar[str] = "SLoPe's masks, chosen by BDWP"

    def __post_init__(self):
        self.frozen: np.ndarray | None = None

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        if moment.share < self.after:
            return super().prune(weights, moment)
        if self.frozen is None:
            self.frozen = self.top(weights, 0)
        kept = weights * self.frozen
        return Pruned(kept, kept * self.top(kept, 1), self.frozen)

    def products(self, moment: Moment) -> dict[str, int]:
        made = super().products(moment)
        return made if moment.share >= self.after else made | {"WU": self.m}

    def gradient(self, dw: np.ndarray, weights: np.ndarray, pruned: Pruned) -> np.ndarray:
        if self.frozen is None:
            return super().gradient(dw, weights, pruned)
        return dw * self.frozen


@dataclass
class Static(Kept):
    """The masks of the first weights, from the first step on."""

    after: float = 0.0

    SOURCE: ClassVar[str] = "Mozaffari et al., ICLR 2025"
