"""S-STE: Hu, Zhu, Chen, S-STE: Continuous Pruning Function for Efficient 2:4 Sparse Pre-training,
NeurIPS 2024."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...compiler import nm
from .mvue import Mvue
from .rule import Moment, Pruned


@dataclass
class SSte(Mvue):
    """Soft thresholds: of each M along K all magnitudes lose the (N+1)-th largest, so that no
    weight jumps when a mask changes; all are scaled by β, which fits the first weights best and
    then stays. Gradients go straight through; that of the weights is drawn as `Mvue` does."""

    SPARSE: ClassVar[tuple[str, ...]] = ("FF", "WU")
    STATE: ClassVar[tuple[str, ...]] = ("beta",)
    SOURCE: ClassVar[str] = "Hu et al., NeurIPS 2024"

    def __post_init__(self):
        self.beta: float | None = None

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        soft = self._soft(weights)
        if self.beta is None:
            among = float((soft * soft).sum())
            self.beta = float((weights * soft).sum()) / among if among else 1.0
        made = soft * np.float32(self.beta)
        return Pruned(made, made, made != 0)

    def _soft(self, weights: np.ndarray) -> np.ndarray:
        """``sign(w) * max(|w| - t, 0)``."""
        if self.n == self.m:
            return weights
        groups = nm.grouped(weights, self.m, 0)
        sizes = np.abs(groups)
        threshold = -np.partition(-sizes, self.n, axis=-1)[..., self.n, None]
        soft = np.sign(groups) * np.maximum(sizes - threshold, 0)
        return nm.ungrouped(soft, len(weights), 0)
