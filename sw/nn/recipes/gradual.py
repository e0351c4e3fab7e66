"""N that shrinks while the network trains.

`Gradual`: Zhu and Gupta, To Prune, or Not to Prune, 2017. `MdGf` and `SdGf`: Bambhaniya et al.,
Progressive Gradient Flow for Robust N:M Sparsity Training in Transformers, 2024.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .rule import Moment, Pruned, Rule
from .sr_ste import SrSte


@dataclass
class Gradual(SrSte):
    """Magnitude pruning of more and more: N falls from M as the cube of what is left of the time
    that pruning takes. A pruned weight that grows among the largest counts again."""

    until: float = 0.7
    """The share of the steps after which N is the pattern's."""

    SOURCE: ClassVar[str] = "Zhu and Gupta, 2017"

    def pattern(self, moment: Moment) -> int:
        left = max(0.0, 1 - moment.share / self.until)
        return self.n + round((self.m - self.n) * left**3)


@dataclass
class MdGf(Rule):
    """Mask decay: what is pruned still counts v times, v falling from 1 to 0; gradients go straight
    through, without λ."""

    dense: float = 0.1
    """The share of the steps that is dense; from its end on v falls."""
    until: float = 0.7
    """The share after which v is 0."""

    SPARSE: ClassVar[tuple[str, ...]] = ("FF",)
    SOURCE: ClassVar[str] = "Bambhaniya et al., 2024"

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        mask = self.top(weights, 0)
        made = np.where(mask, weights, weights * np.float32(self.left(moment)))
        return Pruned(made, made, mask)

    def pattern(self, moment: Moment) -> int:
        """What is pruned is multiplied by until nothing of it counts."""
        return self.m if self.left(moment) else self.n

    def left(self, moment: Moment) -> float:
        """v of a step."""
        return min(1.0, max(0.0, (self.until - moment.share) / (self.until - self.dense)))

    def gradient(self, dw: np.ndarray, weights: np.ndarray, pruned: Pruned) -> np.ndarray:
        return dw


@dataclass
class SdGf(MdGf):
    """Structure decay: M, M - 1, M/2, M/4, … of M are kept, one after another, the last one N."""

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        mask = self.top(weights, 0, self.pattern(moment))
        return Pruned(weights * mask, weights * mask, mask)

    def pattern(self, moment: Moment) -> int:
        if moment.share < self.dense:
            return self.m
        steps = [self.m - 1]
        while steps[-1] > self.n:
            steps.append(max(self.n, (self.m if len(steps) == 1 else steps[-1]) // 2))
        return steps[min(len(steps) - 1, int((1 - self.left(moment)) * len(steps)))]
