"""A training whose steps are a device's: masters and momentum stay in its tensor memory, and come
to the host for accuracy, checkpoints and the end."""

import numpy as np

from ..errors import FormatError
from ..host import programs
from ..host.device import Device
from . import exact, loss_scale, steps
from .exact import Master, Numbers
from .held import Frozen
from .layers import Layer
from .optimisers import Sgd
from .recipes import Dense, Moment
from .recipes.bdwp import Bdwp
from .recipes.kept import Kept, Static
from .trainer import Learning, Training

METHODS = "bdwp", "kept", "static", "dense"
"""That a device trains by; it pulls nothing to zero."""
KINDS = Bdwp, Kept, Static, Dense
"""Their rules of layers."""


class OnDevice:
    """Does the steps of `training` on `device`, each as one program.

    A step in which a number is not finite counts for nothing, and halves the scale of the loss. An
    epoch has whole batches only: images that are left over come in another one. Once a mask is
    frozen the device holds kept weights alone, and those that it has not are 0.

    Raises `FormatError` for a recipe or a network that the device cannot train, and if its memory
    is full.
    """

    def __init__(self, training: Training, device: Device):
        for layer in training.layers:
            if type(layer.rule) not in KINDS:  # others derive from these
                raise FormatError(
                    f"a device trains by the methods {', '.join(METHODS[:-1])} and {METHODS[-1]}, "
                    f"not {training.recipe.method}; the device `model` by all"
                )
            if isinstance(layer.rule, Bdwp) and layer.rule.pull:
                raise FormatError(
                    "a device does not pull pruned weights to zero: the recipe's pull must be 0, "
                    f"not {layer.rule.pull}"
                )
        if training.recipe.m != device.config.group:
            raise FormatError(
                f"the device {device.config.name!r} prunes N of every {device.config.group}, not "
                f"{training.recipe.n}:{training.recipe.m}"
            )
        training.whole_batches = True
        self.training, self.device = training, device
        self._group = device.config.group
        self.cycles = 0
        """Of the last step."""
        self._whole = 0
        """Of what batch its own are a part, if they are one."""
        self._masters = [
            _master(*pair, self._group)
            for pair in zip(training.layers, training.learning, strict=True)
        ]
        self._made: steps.Step | None = None
        self._for: tuple[Numbers, tuple[bool, ...]] | None = None
        """What it was made for: its numbers, and which layers have frozen masks."""
        training.learner = self

    def learn(self, x: np.ndarray, y: np.ndarray, rate: float) -> float:
        """A step on images and labels; returns the mean loss before it.

        Raises `FormatError` as `loss_scale.counted` and `exact.images_of`.
        """
        training = self.training
        _, losses, good = self._run(x, y, rate)
        loss_scale.counted(training, good)
        return float(losses.mean()) if good else float("nan")

    def _run(
        self, x: np.ndarray, y: np.ndarray, rate: float
    ) -> tuple[steps.Step, np.ndarray, bool]:
        """The step, what it loses on images and labels, and whether all its numbers are finite."""
        training, recipe = self.training, self.training.recipe
        numbers = Numbers(rate, recipe.momentum, recipe.decay, training.scale)
        made = self._program(len(x), numbers)
        targets = exact.targets_of(y, training.layers[-1].weights.shape[1], self._group)
        images = _filled(x, training.layers[0], self._group)
        losses, counters = made.run(self.device, images, targets)
        self.cycles = counters["running"]
        return made, losses, programs.all_finite(self.device)

    def settle(self) -> None:
        """Bring masters and momentum to the training's layers."""
        if self._made is None:
            return
        self._made.take(self.device, self._masters)
        pairs = zip(self.training.layers, self.training.learning, strict=True)
        for master, (layer, learning) in zip(self._masters, pairs, strict=True):
            for values, filled in _parts(master, layer, learning):
                values[...] = filled[_own(values.shape, layer, self._group)]

    def _program(self, batch: int, numbers: Numbers) -> steps.Step:
        training = self.training
        moment = Moment(training.step, training.steps)
        frozen = tuple(_is_frozen(layer, moment) for layer in training.layers)
        if self._made is None or self._for != (numbers, frozen):
            self.settle()
            layers = zip(training.layers, self._masters, frozen, strict=True)
            each = [
                _frozen(layer, master, moment, self._group) if holds else layer.n
                for layer, master, holds in layers
            ]
            self._made = steps.compiled(
                *(self.device.config, batch, self._masters, each, numbers),
                first=training.recipe.frozen,
                whole=self._whole,
            )
            self._made.load(self.device, self._masters)
            self._for = numbers, frozen
        return self._made


def _is_frozen(layer: Layer, moment: Moment) -> bool:
    return isinstance(layer.rule, Kept) and moment.share >= layer.rule.after


def _frozen(layer: Layer, master: Master, moment: Moment, group: int) -> Frozen:
    """What a layer's rule keeps from now on."""
    mask = np.zeros(master.weights.shape, bool)
    mask[_own(layer.weights.shape, layer, group)] = layer.rule.prune(layer.weights, moment).mask
    return Frozen.of(mask, layer.n, group)


def _parts(master: Master, layer: Layer, learning: Learning) -> list[tuple[np.ndarray, np.ndarray]]:
    """Arrays of a training's layer, each with the device's."""
    weights, bias = learning.weights, learning.bias
    assert isinstance(weights, Sgd) and isinstance(bias, Sgd)  # as bdwp and dense have them
    return [
        (layer.weights, master.weights),
        (layer.bias, master.bias),
        (weights.speed, master.speed),
        (bias.speed, master.bias_speed),
    ]


def _master(layer: Layer, learning: Learning, group: int) -> Master:
    """Of a layer, with channels filled up to whole groups."""
    taps = layer.stage.kernel.taps
    channels = layer.weights.shape[0] // taps, layer.weights.shape[1]
    inputs, outputs = (_filled_up(n, group) for n in channels)
    shapes = (taps * inputs, outputs), outputs
    made = Master(*(np.zeros(shape, np.float32) for shape in shapes * 2), layer.stage)
    for values, filled in _parts(made, layer, learning):
        filled[_own(values.shape, layer, group)] = values
    return made


def _own(shape: tuple[int, ...], layer: Layer, group: int):
    """Where in a filled array a layer's own weights, or biases, are."""
    if len(shape) == 1:
        return np.s_[: shape[0]]
    taps = layer.stage.kernel.taps
    channels = shape[0] // taps
    rows = np.arange(taps)[:, None] * _filled_up(channels, group) + np.arange(channels)
    return np.ix_(rows.ravel(), np.arange(shape[1]))


def _filled(x: np.ndarray, layer: Layer, group: int) -> np.ndarray:
    """Images [B, height, width, channels in whole groups], float16, of rows of pixels."""
    images = exact.images_of(x, layer.stage)
    return np.pad(images, [(0, 0)] * 3 + [(0, -images.shape[-1] % group)])


def _filled_up(channels: int, group: int) -> int:
    """To whole groups."""
    return -(-channels // group) * group
