"""A small trainer for N:M-sparse networks in NumPy, by any of `recipes`.

A step goes forward through all layers, then back to the first one, and then forms the gradients of
the weights and changes these.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..compiler.validity import check_pattern
from ..compiler.walks import Kernel
from ..errors import FormatError
from .backprop import backward, cross_entropy, forward
from .data import Dataset
from .layers import Layer
from .optimisers import Adam, Optimiser, Sgd
from .recipes import LAST, RECIPES, Dense, Moment
from .stages import Stage

METHODS = tuple(RECIPES)
ARCHITECTURES = ("mlp", "cnn")
AT_ONCE = 1000
"""Images that are looked at together when accuracy is measured."""


DIVERGES = "the training diverges: take a smaller --rate, from the last checkpoint or anew"
RATES = {"cnn": 0.05, "step": 0.002}
"""Of learning, by architecture or method, where it is not `Recipe.rate`."""


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
    frozen: int = 0
    """Layers, from the first one on, that stay as they are: nothing goes back through them."""
    start: str = ""
    """Of the network whose weights it begins with, if there is one: its file's digest."""

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
        if self.frozen and not self.start:
            raise FormatError("layers that are frozen must come from somewhere: name a --start")


def rate_of(architecture: str, method: str) -> float:
    """Of learning, if nobody says another one."""
    return RATES.get(method, RATES.get(architecture, Recipe.rate))


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


class Learner(Protocol):
    """Does steps in the host's place."""

    def learn(self, x: np.ndarray, y: np.ndarray, rate: float) -> float:
        """A step; returns the mean loss before it, or NaN if it counts for nothing."""
        ...

    def settle(self) -> None:
        """Bring weights and momentum to the training's layers."""
        ...


@dataclass(eq=False)
class Training:
    """A training under way: all that the next step depends on."""

    data: Dataset
    recipe: Recipe
    layers: list[Layer]
    learning: list[Learning]
    rng: np.random.Generator
    step: int = 0
    """How many are done."""
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Of the images in this epoch."""
    losses: list[float] = field(default_factory=list)
    """Of the steps in this epoch."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Of each epoch that is done: mean loss, and `accuracy`."""
    learner: "Learner | None" = None
    """Who does the steps, if not the host."""
    whole_batches: bool = False
    """An epoch leaves out the images of a batch that is not whole."""
    scale: float = 1024.0
    """Of a learner's loss."""
    good: int = 0
    """Its steps since the scale was changed."""
    skipped: int = 0
    """Its steps that overflowed and count for nothing."""

    @classmethod
    def begun(cls, data: Dataset, recipe: Recipe, start: Sequence[Layer] = ()) -> "Training":
        """Before its first step; with the weights of the layers `start`, if there are any.

        Raises `FormatError` for images the architecture is not for, and for layers of other shapes,
        but for the last one's columns: for another number of classes it begins anew.
        """
        rng = np.random.default_rng(recipe.seed)
        layers = _initial(data, recipe, rng)
        if recipe.frozen >= len(layers):
            raise FormatError(
                f"of {len(layers)} layers {recipe.frozen} cannot be frozen: one must be trained"
            )
        if start:
            _begin_with(layers, start, recipe.frozen)
        for layer in layers[: recipe.frozen]:
            layer.rule = Dense(layer.n, layer.m)
        return cls(data, recipe, layers, [Learning.of(layer, recipe) for layer in layers], rng)

    @property
    def epoch_steps(self) -> int:
        if self.whole_batches:
            return max(1, len(self.data.train_x) // self.recipe.batch)
        return -(-len(self.data.train_x) // self.recipe.batch)

    @property
    def steps(self) -> int:
        return self.recipe.epochs * self.epoch_steps

    @property
    def done(self) -> bool:
        return self.step == self.steps

    def advance(self) -> None:
        """A step. Raises `FormatError` if the training diverges."""
        recipe, (epoch, at) = self.recipe, divmod(self.step, self.epoch_steps)
        if at == 0:
            self.order, self.losses = self.rng.permutation(len(self.data.train_x)), []
        rate = recipe.rate * (1 + np.cos(np.pi * epoch / recipe.epochs)) / 2
        chosen = self.order[at * recipe.batch : (at + 1) * recipe.batch]
        batch = self.data.train_x[chosen], self.data.train_y[chosen]
        moment = Moment(self.step, self.steps)
        if self.learner:
            loss = self.learner.learn(*batch, float(rate))
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # the loss tells
                loss = _step(self.layers, self.learning, *batch, recipe, rate, moment)
            if not math.isfinite(loss):
                raise FormatError(f"the loss of step {self.step} is no finite number: {DIVERGES}")
        self.losses.append(loss)
        self.step += 1
        if self.step % self.epoch_steps == 0:
            self.settle()
            counted = [loss for loss in self.losses if not math.isnan(loss)]
            self.curve.append((float(np.mean(counted or [math.nan])), self.accuracy()))

    def settle(self) -> None:
        """Have the layers as they are after the last step, whoever did it."""
        if self.learner:
            self.learner.settle()

    def accuracy(self) -> float:
        """Share of the images of `Dataset.judged` whose largest score is their label's."""
        (images, labels), right = self.data.judged, 0
        next_ = Moment(self.step, self.steps)
        pruned = [layer.rule.prune(layer.weights, next_) for layer in self.layers]
        for at in range(0, len(images), AT_ONCE):
            scores = forward(self.layers, pruned, images[at : at + AT_ONCE]).values[-1]
            best = scores.reshape(len(scores), -1).argmax(axis=1)
            right += int((best == labels[at : at + AT_ONCE]).sum())
        return right / len(images)


def train(
    data: Dataset,
    recipe: Recipe | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[Layer]:
    """Train on `data`; `on_epoch` is told the epoch and the mean loss. Deterministic by seed.

    Raises `FormatError` for images that the architecture is not for.
    """
    training = Training.begun(data, recipe or Recipe())
    while not training.done:
        training.advance()
        if on_epoch and training.step % training.epoch_steps == 0:
            on_epoch(len(training.curve) - 1, training.curve[-1][0])
    return training.layers


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
        # He initialisation, less where another layer's outputs are added. It counts all inputs, not
        # only those that are kept: these are the largest, and wider first weights lose accuracy.
        spread = np.sqrt(2 / max(1, inputs)) * (1 if stage.add is None else 0.5)
        weights = rng.standard_normal((inputs, outputs)).astype(np.float32) * np.float32(spread)
        layers.append(Layer(weights, np.zeros(outputs, np.float32), n, recipe.m, stage, rule))
    return layers


def _begin_with(layers: list[Layer], start: Sequence[Layer], frozen: int) -> None:
    """Take weights and biases, and of layers that are frozen how many weights they keep."""
    last = len(layers) - 1
    same = len(start) == len(layers)
    for i, (layer, other) in enumerate(zip(layers, start, strict=False)):
        taps, (rows, columns) = layer.stage.kernel.taps, layer.weights.shape
        if i == last and other.weights.shape[1] != columns and same:
            continue
        # Channels of each tap may have been filled up to whole groups.
        filled = len(other.weights) // taps
        same &= other.stage == layer.stage and other.weights.shape[1] == columns
        if not same or filled < rows // taps:
            raise FormatError(
                f"the network to begin with has layers of {_shapes(start)} weights, and what is to "
                f"be trained of {_shapes(layers)}"
            )
        weights = other.weights.reshape(taps, filled, columns)[:, : rows // taps]
        layer.weights[...], layer.bias[...] = weights.reshape(rows, columns), other.bias
        if i < frozen:
            layer.n = other.n


def _shapes(layers: Sequence[Layer]) -> str:
    return ", ".join(" x ".join(map(str, layer.weights.shape)) for layer in layers)


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
    passed = forward(layers, pruned, x)
    loss, gradient = cross_entropy(passed.values[-1].reshape(len(x), -1), y)
    gradients = backward(layers, pruned, passed, gradient, recipe.frozen)
    for i, (layer, learns) in enumerate(zip(layers, learning, strict=True)):
        if i < recipe.frozen:
            continue
        dw = passed.taken[i].T @ layer.rule.samples(gradients[i], moment)
        dw = dw + recipe.decay * layer.weights
        dw = layer.rule.gradient(dw, layer.weights, pruned[i])
        learns.weights.update(layer.weights, dw, rate)
        learns.bias.update(layer.bias, gradients[i].sum(axis=0), rate)
        layer.rule.updated(learns.weights, moment)
        learns.saw(pruned[i].mask)
    return loss
