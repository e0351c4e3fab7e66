"""SR-STE: Zhou et al., Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch,
ICLR 2021."""

import numpy as np

from .rule import Moment, Pruned, Rule


class SrSte(Rule):
    """The N largest of each M along K forward and backward; gradients go straight through to all
    masters, of which the pruned ones are pulled to zero."""

    SPARSE = ("FF",)
    SOURCE = "Zhou et al., ICLR 2021"

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        mask = self.top(weights, 0, self.pattern(moment))
        kept = weights * mask
        return Pruned(kept, kept, mask)
