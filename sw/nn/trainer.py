"""A small trainer for N:M-sparse networks in NumPy, by any of `recipes`.

A step goes forward through all layers, then back to the first one, and then forms the gradients of
the weights and changes these.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..compiler.validity import check_pattern
from ..compiler.walks import Kernel
from ..errors import FormatError
from . import stages
from .data import Dataset
from .optimisers import Adam, Optimiser, Sgd
from .recipes import LAST, RECIPES, Dense, Moment, Pruned, Rule, SrSte
from .stages import Stage

METHODS = tuple(RECIPES)
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


@dataclass
class Learning:
    """A layer's part in the training: what changes its weights and biases, and its masks' churn."""

    weights: Optimiser
    bias: Optimiser
    mask: np.ndarray | None = None
    churn: list[int] = field(default_factory=list)
    """How many weights each step's mask has in another place than the one before had (SAD, the sum
    of absolute differences)."""

    @classmethod
    def of(cls, layer: Layer, recipe: Recipe) -> "Learning":
        kind = RECIPES[recipe.method].OPTIMISER
        return cls(*(_optimiser(kind, recipe, each) for each in (layer.weights, layer.bias)))

    def saw(self, mask: np.ndarray) -> None:
        if self.mask is not None:
            self.churn.append(int((mask != self.mask).sum()))
        self.mask = mask


def _optimiser(kind: str, recipe: Recipe, of: np.ndarray) -> Optimiser:
    if kind == "adam":
        return Adam(np.zeros_like(of), np.zeros_like(of))
    return Sgd(recipe.momentum, np.zeros_like(of))


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
    learning = [Learning.of(layer, recipe) for layer in layers]
    step, steps = 0, recipe.epochs * -(-len(data.train_x) // recipe.batch)
    for epoch in range(recipe.epochs):
        rate = recipe.rate * (1 + np.cos(np.pi * epoch / recipe.epochs)) / 2
        order = rng.permutation(len(data.train_x))
        losses = []
        for start in range(0, len(order), recipe.batch):
            chosen = order[start : start + recipe.batch]
            batch = data.train_x[chosen], data.train_y[chosen]
            losses.append(_step(layers, learning, *batch, recipe, rate, Moment(step, steps)))
            step += 1
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
        kind = Dense if dense else RECIPES[recipe.method]
        rule = kind(recipe.n, recipe.m, recipe.pull, (recipe.seed, i))
        n = recipe.n if "FF" in kind.SPARSE else recipe.m
        # He initialisation for the inputs that are kept, less where another layer's are added.
        spread = np.sqrt(2 / max(1, inputs * n / recipe.m)) * (1 if stage.add is None else 0.5)
        weights = rng.standard_normal((inputs, outputs)).astype(np.float32) * np.float32(spread)
        layers.append(Layer(weights, np.zeros(outputs, np.float32), n, recipe.m, stage, rule))
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


def _step(
    layers: list[Layer],
    learning: list[Learning],
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    rate: float,
    moment: Moment = LAST,
) -> float:
    """One step on the cross-entropy; returns the loss before it."""
    pruned = [layer.rule.prune(layer.weights, moment) for layer in layers]
    passed = _forward(layers, pruned, x)
    loss, gradient = _cross_entropy(passed.values[-1].reshape(len(x), -1), y)
    gradients = _backward(layers, pruned, passed, gradient)
    for i, (layer, learns) in enumerate(zip(layers, learning, strict=True)):
        dw = passed.taken[i].T @ layer.rule.samples(gradients[i], moment)
        dw = dw + recipe.decay * layer.weights
        dw = layer.rule.gradient(dw, layer.weights, pruned[i])
        learns.weights.update(layer.weights, dw, rate)
        learns.bias.update(layer.bias, gradients[i].sum(axis=0), rate)
        layer.rule.updated(learns.weights, moment)
        learns.saw(pruned[i].mask)
    return loss


@dataclass
class Passed:
    """What a forward pass leaves for the way back."""

    values: list[np.ndarray]
    """The images of the input, and those that each layer makes."""
    taken: list[np.ndarray]
    """The rows of images that each layer multiplies."""
    full: list[np.ndarray]
    """What each layer pools."""


def _forward(layers: list[Layer], pruned: list[Pruned], x: np.ndarray) -> Passed:
    passed = Passed([x], [], [])
    for i, (layer, used) in enumerate(zip(layers, pruned, strict=True)):
        stage = layer.stage
        images = passed.values[-1].reshape(len(x), stage.height, stage.width, -1)
        passed.taken.append(stages.rows(images, stage.kernel))
        out = passed.taken[-1] @ used.forward + layer.bias
        out = out.reshape(len(x), *stage.out, -1)
        if stage.add is not None:
            out += passed.values[stage.add + 1]
        passed.full.append(np.maximum(out, 0) if i < len(layers) - 1 else out)
        passed.values.append(stages.pooled(passed.full[-1], stage.pool))
    return passed


def _cross_entropy(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean loss of a batch, and what it changes by with the scores."""
    scores = scores - scores.max(axis=1, keepdims=True)
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(chance[np.arange(len(y)), y] + 1e-12).mean()
    chance[np.arange(len(y)), y] -= 1
    return float(loss), chance / len(y)


def _backward(
    layers: list[Layer], pruned: list[Pruned], passed: Passed, gradient: np.ndarray
) -> list[np.ndarray]:
    """The gradient of each layer's sums, rows of pixels."""
    count = len(gradient)
    onward: list = [*[0.0] * len(layers), gradient]
    """Of each layer's images: of those that are added to another layer's, a sum."""
    made: list[np.ndarray] = [np.empty(0)] * len(layers)
    for i in reversed(range(len(layers))):
        stage, rule = layers[i].stage, layers[i].rule
        out = onward[i + 1].reshape(passed.values[i + 1].shape)
        gradient = stages.unpooled(out, passed.full[i], stage.pool)
        if i < len(layers) - 1:
            gradient = gradient * (passed.full[i] > 0)
        if stage.add is not None:
            onward[stage.add + 1] = onward[stage.add + 1] + gradient
        made[i] = gradient.reshape(-1, gradient.shape[-1])
        if i:
            images = passed.values[i].reshape(count, stage.height, stage.width, -1)
            errors = rule.errors(made[i].reshape(count, -1, made[i].shape[1]))
            taps = errors.reshape(made[i].shape) @ pruned[i].backward.T
            onward[i] = onward[i] + stages.images_of(taps, stage.kernel, images.shape)
    return made
