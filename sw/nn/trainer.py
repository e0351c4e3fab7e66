"""A small trainer for N:M-sparse perceptrons in NumPy: SR-STE and BDWP.

Forward, each layer uses its weights pruned to N:M along the inputs. SR-STE (Zhou et al., ICLR
2021) passes gradients straight to the dense weights and pulls the pruned ones to zero. BDWP
(bidirectional weight pruning; SAT, Zhang et al.) also prunes the weights of the backward product,
along the outputs, from the same dense weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..compiler import nm
from ..compiler.validity import check_pattern
from ..errors import FormatError
from .data import Dataset

METHODS = ("bdwp", "sr-ste", "dense")


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the network that ships with Heddle.

    Raises `FormatError` for a method that is not there, and for a pattern that keeps nothing or
    could not be packed.
    """

    hidden: tuple[int, ...] = (256, 256)
    n: int = 2
    m: int = 8
    method: str = "bdwp"
    dense_last: bool = True
    """Keep the last layer dense: it is small, and its errors are not corrected by another."""
    epochs: int = 60
    batch: int = 64
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 1e-4
    pull: float = 2e-4
    """SR-STE's λ: pulls pruned weights to zero."""
    seed: int = 1

    def __post_init__(self):
        if self.method not in METHODS:
            raise FormatError(f"no method {self.method!r}; there are {', '.join(METHODS)}")
        check_pattern(self.n, self.m)
        if self.n == 0:
            raise FormatError(f"{self.n}:{self.m} keeps no weight: training needs N of at least 1")


@dataclass
class Layer:
    """Dense master weights [K, C] and biases [C]; `n` of `m` are used."""

    weights: np.ndarray
    bias: np.ndarray
    n: int
    m: int

    def mask(self, axis: int) -> np.ndarray:
        if self.n == self.m:
            return np.ones(self.weights.shape, bool)
        return nm.mask(self.weights, self.n, self.m, axis)

    def used(self) -> np.ndarray:
        """The weights of the forward product."""
        return self.weights * self.mask(0)


def train(
    data: Dataset,
    recipe: Recipe | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[Layer]:
    """Train on `data`; `on_epoch` is told the epoch and the mean loss. Deterministic by seed."""
    recipe = recipe or Recipe()
    rng = np.random.default_rng(recipe.seed)
    layers = _initial(data, recipe, rng)
    speeds = [(np.zeros_like(layer.weights), np.zeros_like(layer.bias)) for layer in layers]
    for epoch in range(recipe.epochs):
        rate = recipe.rate * (1 + np.cos(np.pi * epoch / recipe.epochs)) / 2
        order = rng.permutation(len(data.train_x))
        losses = []
        for start in range(0, len(order), recipe.batch):
            chosen = order[start : start + recipe.batch]
            loss = _step(layers, speeds, data.train_x[chosen], data.train_y[chosen], recipe, rate)
            losses.append(loss)
        if on_epoch:
            on_epoch(epoch, float(np.mean(losses)))
    return layers


def _initial(data: Dataset, recipe: Recipe, rng: np.random.Generator) -> list[Layer]:
    widths = (data.train_x.shape[1], *recipe.hidden, int(data.train_y.max()) + 1)
    layers = []
    for i, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        last = i == len(widths) - 2
        dense = recipe.method == "dense" or (last and recipe.dense_last)
        n = recipe.m if dense else recipe.n
        # He initialisation for the inputs that are kept.
        spread = np.sqrt(2 / max(1, inputs * n / recipe.m))
        weights = rng.standard_normal((inputs, outputs)).astype(np.float32) * np.float32(spread)
        layers.append(Layer(weights, np.zeros(outputs, np.float32), n, recipe.m))
    return layers


def _step(layers: list[Layer], speeds, x, y, recipe: Recipe, rate: float) -> float:
    """One step of momentum SGD on the cross-entropy; returns the loss before it."""
    forward = [layer.mask(0) for layer in layers]
    inputs = [x]
    for i, layer in enumerate(layers):
        out = inputs[-1] @ (layer.weights * forward[i]) + layer.bias
        inputs.append(np.maximum(out, 0) if i < len(layers) - 1 else out)
    scores = inputs.pop()
    scores = scores - scores.max(axis=1, keepdims=True)
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(chance[np.arange(len(y)), y] + 1e-12).mean()

    gradient = chance
    gradient[np.arange(len(y)), y] -= 1
    gradient /= len(y)
    for i in reversed(range(len(layers))):
        layer, (speed_w, speed_b) = layers[i], speeds[i]
        back = layer.mask(1) if recipe.method == "bdwp" else forward[i]
        onward = gradient @ (layer.weights * back).T * (inputs[i] > 0)
        step = inputs[i].T @ gradient + recipe.decay * layer.weights
        step += recipe.pull * ~forward[i] * layer.weights
        speed_w *= recipe.momentum
        speed_w += step
        speed_b *= recipe.momentum
        speed_b += gradient.sum(axis=0)
        layer.weights -= np.float32(rate) * speed_w
        layer.bias -= np.float32(rate) * speed_b
        gradient = onward
    return float(loss)
