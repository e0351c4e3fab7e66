"""A layer of a network that is trained."""

from dataclasses import dataclass

import numpy as np

from .recipes import LAST, Dense, Rule, SrSte
from .stages import Stage


@dataclass
class Layer:
    """Dense master weights [K, C] and biases [C]; `n` of `m` are used forward.

    K is the taps of the stage's window, line by line, each with all its channels.
    """

    weights: np.ndarray
    bias: np.ndarray
    n: int
    m: int
    stage: Stage = Stage()
    rule: Rule = None  # type: ignore[assignment]
    """How it is pruned; the N largest of each M forward and backward if nothing else is said."""

    def __post_init__(self):
        if self.rule is None:
            self.rule = Dense() if self.n == self.m else SrSte(self.n, self.m)

    def used(self) -> np.ndarray:
        """The weights of the forward product, trained to the end."""
        return self.rule.prune(self.weights, LAST).forward
