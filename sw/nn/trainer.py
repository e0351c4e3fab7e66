"""A small trainer for N:M-sparse networks in NumPy: SR-STE and BDWP.

Forward, each layer uses its weights pruned to N:M along the inputs. SR-STE (Zhou et al., ICLR
2021) passes gradients straight to the dense weights and pulls the pruned ones to zero. BDWP
(bidirectional weight pruning; SAT, Zhang et al.) also prunes the weights of the backward product,
along the outputs, from the same dense weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..compiler import nm
from ..compiler.validity import check_pattern
from ..compiler.walks import Kernel
from ..errors import FormatError
from . import stages
from .data import Dataset
from .stages import Stage

METHODS = ("bdwp", "sr-ste", "dense")
ARCHITECTURES = ("mlp", "cnn")


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the network that ships with Heddle.

    Raises `FormatError` for a method that is not there, and for a pattern that keeps nothing or
    could not be packed.
    """

    architecture: str = "mlp"
    """A perceptron, or a small residual network of convolutions without normalisation."""
    hidden: tuple[int, ...] = (256, 256)
    """Of a perceptron, the widths of its hidden layers."""
    channels: tuple[int, int, int] = (16, 64, 64)
    """Of a network of convolutions: of its first layer, of the next two, of its hidden vector."""
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
        for name, value, known in (
            ("method", self.method, METHODS),
            ("architecture", self.architecture, ARCHITECTURES),
        ):
            if value not in known:
                raise FormatError(f"no {name} {value!r}; there are {', '.join(known)}")
        check_pattern(self.n, self.m)
        if self.n == 0:
            raise FormatError(f"{self.n}:{self.m} keeps no weight: training needs N of at least 1")


@dataclass
class Layer:
    """Dense master weights [K, C] and biases [C]; `n` of `m` are used.

    K is the taps of the stage's window, line by line, each with all its channels.
    """

    weights: np.ndarray
    bias: np.ndarray
    n: int
    m: int
    stage: Stage = Stage()

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
    """Train on `data`; `on_epoch` is told the epoch and the mean loss. Deterministic by seed.

    Raises `FormatError` for images that the architecture is not for.
    """
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
    pixels, classes = data.train_x.shape[1], int(data.train_y.max()) + 1
    if recipe.architecture == "mlp":
        widths = (pixels, *recipe.hidden, classes)
        shapes = [(*pair, Stage()) for pair in zip(widths, widths[1:], strict=False)]
    else:
        shapes = _convolutions(pixels, recipe.channels, classes)
    layers = []
    for i, (inputs, outputs, stage) in enumerate(shapes):
        last = i == len(shapes) - 1
        # What has less channels than a group is too small to be pruned.
        dense = recipe.method == "dense" or (last and recipe.dense_last) or inputs % recipe.m
        n = recipe.m if dense else recipe.n
        # He initialisation for the inputs that are kept, less where another layer's are added.
        spread = np.sqrt(2 / max(1, inputs * n / recipe.m)) * (1 if stage.add is None else 0.5)
        weights = rng.standard_normal((inputs, outputs)).astype(np.float32) * np.float32(spread)
        layers.append(Layer(weights, np.zeros(outputs, np.float32), n, recipe.m, stage))
    return layers


def _convolutions(
    pixels: int, channels: tuple[int, int, int], classes: int
) -> list[tuple[int, int, Stage]]:
    """Inputs, outputs and stage of each layer: three convolutions of 3 x 3, the second of stride 2,
    the third with what it is given added; then the largest of 2 x 2, and two layers of vectors."""
    side, (first, wide, hidden) = math.isqrt(pixels), channels
    if side * side != pixels or side % 4:
        raise FormatError(
            f"a network of convolutions takes square images whose side 4 divides, not {pixels} "
            "pixels"
        )
    half, quarter = side // 2, side // 4
    same = {"padding": (1, 1)}
    return [
        (9, first, Stage(side, side, Kernel((3, 3), **same))),
        (9 * first, wide, Stage(side, side, Kernel((3, 3), (2, 2), **same))),
        (9 * wide, wide, Stage(half, half, Kernel((3, 3), **same), add=1, pool=2)),
        (quarter**2 * wide, hidden, Stage(quarter, quarter, Kernel((quarter, quarter)))),
        (hidden, classes, Stage()),
    ]


def _step(layers: list[Layer], speeds, x, y, recipe: Recipe, rate: float) -> float:
    """One step of momentum SGD on the cross-entropy; returns the loss before it."""
    forward = [layer.mask(0) for layer in layers]
    values, taken, full = [x], [], []
    """Each layer's images, the rows of them that it multiplies, and what it pools."""
    for i, layer in enumerate(layers):
        stage = layer.stage
        images = values[-1].reshape(len(x), stage.height, stage.width, -1)
        taken.append(stages.rows(images, stage.kernel))
        out = taken[-1] @ (layer.weights * forward[i]) + layer.bias
        out = out.reshape(len(x), *stage.out, -1)
        if stage.add is not None:
            out += values[stage.add + 1]
        full.append(np.maximum(out, 0) if i < len(layers) - 1 else out)
        values.append(stages.pooled(full[-1], stage.pool))
    scores = values[-1].reshape(len(x), -1)
    scores = scores - scores.max(axis=1, keepdims=True)
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(chance[np.arange(len(y)), y] + 1e-12).mean()

    gradient = chance
    gradient[np.arange(len(y)), y] -= 1
    gradient /= len(y)
    onward: list = [*[0.0] * len(layers), gradient]
    """The gradient of each layer's images: of those that are added to another layer's, a sum."""
    for i in reversed(range(len(layers))):
        layer, stage, (speed_w, speed_b) = layers[i], layers[i].stage, speeds[i]
        gradient = stages.unpooled(onward[i + 1].reshape(values[i + 1].shape), full[i], stage.pool)
        if i < len(layers) - 1:
            gradient = gradient * (full[i] > 0)
        if stage.add is not None:
            onward[stage.add + 1] = onward[stage.add + 1] + gradient
        gradient = gradient.reshape(-1, gradient.shape[-1])
        back = layer.mask(1) if recipe.method == "bdwp" else forward[i]
        if i:
            images = values[i].reshape(len(x), stage.height, stage.width, -1)
            taps = gradient @ (layer.weights * back).T
            onward[i] = onward[i] + stages.images_of(taps, stage.kernel, images.shape)
        step = taken[i].T @ gradient + recipe.decay * layer.weights
        step += recipe.pull * ~forward[i] * layer.weights
        speed_w *= recipe.momentum
        speed_w += step
        speed_b *= recipe.momentum
        speed_b += gradient.sum(axis=0)
        layer.weights -= np.float32(rate) * speed_w
        layer.bias -= np.float32(rate) * speed_b
    return float(loss)
