"""STEP: Lu et al., STEP: Learning N:M Structured Sparsity Masks from Scratch with Precondition,
ICML 2023."""

from collections import deque
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
    SOURCE: ClassVar[str] = "Lu et al., ICML 2023"

    def __post_init__(self):
        self.masked = False
        self._changes: deque[float] = deque()

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        if self.masked or moment.share >= 1:
            return super().prune(weights, moment)
        return Pruned(weights, weights, np.ones(weights.shape, bool))

    def updated(self, optimiser: Optimiser, moment: Moment) -> None:
        if self.masked or not isinstance(optimiser, Adam):
            return
        self._changes.append(optimiser.changed)
        window = round(1 / (1 - optimiser.betas[1]))
        if len(self._changes) > window:
            self._changes.popleft()
        mean = sum(self._changes) / len(self._changes)
        settled = len(self._changes) == window and mean < optimiser.tiny
        done = (moment.step + 1) / moment.steps
        if done >= LATEST or done >= EARLIEST and settled:
            self.masked = optimiser.frozen = True
