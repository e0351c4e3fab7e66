"""What a training recipe decides, layer by layer and step by step: which weights are multiplied by,
forward and backward, and what of the gradients counts. A recipe is a rule with some of it changed.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...compiler import nm
from ..optimisers import Optimiser


@dataclass(frozen=True)
class Moment:
    """A step of so many."""

    step: int
    steps: int

    @property
    def share(self) -> float:
        """Of the training that is done: 0 at the first step, below 1 at the last."""
        return self.step / self.steps


PRODUCTS = "FF", "BP", "WU"
"""Of a step with weights W [K, C]: ``Y = X W``, ``dX = dY W'``, ``dW = X' dY``."""
LAST = Moment(1, 1)
"""After all steps: what a trained layer is packed as."""


@dataclass(frozen=True)
class Pruned:
    """A layer's weights of one step, [K, C]."""

    forward: np.ndarray
    backward: np.ndarray
    """Of the product that makes the gradient of the layer's input."""
    mask: np.ndarray
    """Which of them count forward."""


@dataclass
class Rule:
    """How a layer is pruned while it trains: not at all.

    Weights are [K, C], groups of `m` along K (forward) or along C (backward). Each layer has a rule
    of its own, which may remember what it saw.
    """

    n: int = 1
    m: int = 1
    pull: float = 0.0
    """λ: pruned weights are pulled to zero so fast (SR-STE)."""
    key: tuple[int, int] = (0, 0)
    """Seed of the training and number of the layer: what is drawn depends on these, the step and
    the place, and on no order."""

    SPARSE: ClassVar[tuple[str, ...]] = ()
    """Which of a step's products have a sparse operand: FF, BP, WU."""
    OPTIMISER: ClassVar[str] = "sgd"
    STATE: ClassVar[tuple[str, ...]] = ()
    """Attributes that a checkpoint keeps: what it remembers."""
    SOURCE: ClassVar[str] = ""

    def prune(self, weights: np.ndarray, moment: Moment) -> Pruned:
        """What the masters `weights` are in this step."""
        return Pruned(weights, weights, np.ones(weights.shape, bool))

    def errors(self, dy: np.ndarray) -> np.ndarray:
        """The gradient of the output [B, pixels, C], as it goes on to the input."""
        return dy

    def samples(self, dy: np.ndarray, moment: Moment) -> np.ndarray:
        """The gradient of the output [rows, C], as the weights' gradient is made of it."""
        return dy

    def gradient(self, dw: np.ndarray, weights: np.ndarray, pruned: Pruned) -> np.ndarray:
        """The masters' gradient from that of the weights that were multiplied by, in its place."""
        if self.pull:
            dw += self.pull * ~pruned.mask * weights
        return dw

    def updated(self, optimiser: Optimiser, moment: Moment) -> None:
        """The layer's weights have been updated by `optimiser`."""

    def pattern(self, moment: Moment) -> int:
        """N of this step."""
        return self.n

    def products(self, moment: Moment) -> dict[str, int]:
        """Of every M elements, how many an array multiplies in each of this step's products."""
        n = self.pattern(moment)
        return {product: n if product in self.SPARSE else self.m for product in PRODUCTS}

    def top(self, weights: np.ndarray, axis: int, n: int | None = None) -> np.ndarray:
        """Where the N largest magnitudes of each M along an axis are."""
        return nm.mask(weights, self.n if n is None else n, self.m, axis)
