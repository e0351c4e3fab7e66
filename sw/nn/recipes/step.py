"""STEP: Lu et al., STEP: Learning N:M Structured Sparsity Masks from Scratch with Precondition,
ICML 2023."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..optimisers import Adam, Optimiser
from .rule import Moment, Pruned
from .sr_ste import SrSte

EARLIEST, LATEST = 0.1, 0.5
"""Shares of the steps between which the second half begins."""


@dataclass
class Step(SrSte):
    """For Adam: dense until its mean of squares has settled; from then on that stays, and masks are
    those of SR-STE."""

    OPTIMISER: ClassVar[str] = "adam"
    STATE: ClassVar[tuple[str, ...]] = ("masked", "changes")
    SOURCE: ClassVar[str] = "Lu et al., ICML 2023"

    def __post_init__(self):
        self.masked = False
        self.changes: np.ndarray = np.zeros(0)
        """Of the mean of squares, with the last steps."""

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        if self.masked or moment.share >= 1:
            return super().prune(weights, moment)
        return Pruned(weights, weights, np.ones(weights.shape, bool))

    def pattern(self, moment: Moment) -> int:
        """M at least until LATEST where nothing has been seen to settle."""
        return self.n if self.masked or moment.share >= LATEST else self.m

    def updated(self, optimiser: Optimiser, moment: Moment) -> None:
        if self.masked or not isinstance(optimiser, Adam):
            return
        window = round(1 / (1 - optimiser.betas[1]))
        self.changes = np.append(self.changes, optimiser.changed)[-window:]
        settled = len(self.changes) == window and self.changes.mean() < optimiser.tiny
        done = (moment.step + 1) / moment.steps
        if done >= LATEST or done >= EARLIEST and settled:
            self.masked = optimiser.frozen = True
