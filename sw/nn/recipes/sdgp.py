"""SDGP: McDanel, Dinh, Magallanes, Accelerating DNN Training with Structured Data Gradient Pruning,
ICPR 2022."""

import numpy as np

from .rule import Rule

TINY = 1e-4


class Sdgp(Rule):
    """Weights are dense. The gradient that goes on to the input is pruned to the N largest of each
    M channels; what is left of a sample's channel is scaled to the magnitude that it had."""

    SPARSE = ("BP",)
    SOURCE = "McDanel et al., ICPR 2022"

    def errors(self, dy: np.ndarray) -> np.ndarray:
        left = dy * self.top(dy, 2)
        had, has = (np.abs(each).sum(axis=1, keepdims=True, dtype="f4") for each in (dy, left))
        return (left * (had / (has + TINY))).astype(dy.dtype)
