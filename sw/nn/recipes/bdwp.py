"""BDWP, bidirectional weight pruning: Fang et al., Efficient N:M Sparse DNN Training Using
Algorithm, Architecture, and Dataflow Co-Design (SAT), IEEE TCAD 2024."""

import numpy as np

from .rule import Moment, Pruned, Rule


class Bdwp(Rule):
    """Forward the N largest of each M along K, backward the N largest of each M along C, both of
    the same masters; gradients go straight through, as with SR-STE."""

    SPARSE = ("FF", "BP")
    SOURCE = "Fang et al., IEEE TCAD 2024"

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        mask = self.top(weights, 0)
        return Pruned(weights * mask, weights * self.top(weights, 1), mask)
