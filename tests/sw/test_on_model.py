"""Training in a device's arithmetic on the host: the same bits as the program of a device, by every
recipe."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.platforms.boards import BOARDS
from heddle.sw.errors import FormatError
from heddle.sw.nn.on_device import OnDevice
from heddle.sw.nn.on_model import OnModel
from heddle.sw.nn.trainer import METHODS, Recipe, Training

from ..sim.devices import LEARNER
from .test_on_device import RECIPE, bits, dataset, model

CNN = replace(RECIPE, architecture="cnn", channels=(8, 16, 16), epochs=1, rate=0.05)
BROAD = replace(
    *(LEARNER,),
    name="broad",
    tensor_words=1 << 15,
    weight_slots=512,
    activation_groups=256,
    schedule_records=256,
)

OF_FOUR = replace(RECIPE, m=4)
BOARD = BOARDS["ulx3s-85f"].build("fp16_4x4_training").config
"""Whose groups are of four."""


@pytest.mark.parametrize("scale", [1024.0, 2.0**21])
@pytest.mark.parametrize(
    ("recipe", "config", "data"),
    [(RECIPE, LEARNER, dataset()), (CNN, BROAD, dataset(64, 32)), (OF_FOUR, BOARD, dataset())],
    ids=["mlp", "cnn", "of four"],
)
def test_the_same_bits_as_a_device(recipe, config, data, scale):
    """Steps that overflow among them, if the scale is large."""
    there, here = (Training.begun(data, recipe) for _ in range(2))
    for training in (there, here):
        training.scale = scale
    OnModel(here, config.group)
    with model(config) as device:
        OnDevice(there, device)
        while not there.done:
            there.advance()
        there.settle()
    while not here.done:
        here.advance()
    assert bits(here) == bits(there)
    assert repr(here.curve) == repr(there.curve)  # which may have NaN
    assert (here.scale, here.skipped, here.good) == (there.scale, there.skipped, there.good)
    assert bool(here.skipped) == (scale > 1024)


@pytest.mark.parametrize(
    ("recipe", "config", "data"),
    [(RECIPE, LEARNER, dataset()), (CNN, BROAD, dataset(64, 32)), (OF_FOUR, BOARD, dataset())],
    ids=["mlp", "cnn", "of four"],
)
@pytest.mark.parametrize("method", ["kept", "static"])
def test_the_same_bits_of_kept_weights(method, recipe, config, data):
    """Before the masks are frozen all weights are the same; from then on those that are kept, and
    the device has no others."""
    recipe = replace(recipe, method=method, epochs=3)
    there, here = (Training.begun(data, recipe) for _ in range(2))
    OnModel(here, config.group)
    with model(config) as device:
        learner = OnDevice(there, device)
        while not there.done:
            there.advance()
        there.settle()
        held = [layer.frozen is not None for layer in learner._made.layers]
    while not here.done:
        here.advance()
    frozen = [layer.rule for layer in here.layers if hasattr(layer.rule, "frozen")]
    assert sum(held) == len(frozen) > 0 and here.curve == there.curve
    for mine, its in zip(here.layers, there.layers, strict=True):
        mask = getattr(mine.rule, "frozen", None)
        mask = np.ones(mine.weights.shape, bool) if mask is None else mask
        assert np.array_equal(mine.weights[mask], its.weights[mask])
        assert not its.weights[~mask].any() and np.array_equal(mine.bias, its.bias)
    for (mine, its), layer in zip(
        zip(here.learning, there.learning, strict=True), here.layers, strict=True
    ):
        mask = getattr(layer.rule, "frozen", None)
        mask = np.ones(layer.weights.shape, bool) if mask is None else mask
        assert np.array_equal(mine.weights.speed[mask], its.weights.speed[mask])
        assert np.array_equal(mine.bias.speed, its.bias.speed)


@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_learns(method):
    rate = 0.002 if method == "step" else 0.05
    recipe = Recipe(hidden=(32, 16), epochs=6, batch=16, rate=rate, method=method, seed=3)
    training = Training.begun(dataset(24, 160), recipe)
    OnModel(training)
    while not training.done:
        training.advance()
    assert training.curve[-1][0] < 0.8 * training.curve[0][0] and not training.skipped


def test_a_device_pulls_nothing():
    training = Training.begun(dataset(), replace(RECIPE, pull=1e-4))
    with model() as device, pytest.raises(FormatError, match="pull must be 0"):
        OnDevice(training, device)


def test_errors_and_samples_take_part():
    """What a recipe makes of a gradient is what is multiplied: with nothing left of it, the layers
    before get nothing, and with nothing of the samples no weight changes but by decay."""
    data, recipe = dataset(), replace(RECIPE, decay=0.0)
    for name, still in (("errors", [True, True, False]), ("samples", [True] * 3)):
        training = Training.begun(data, recipe)
        before = [layer.weights.copy() for layer in training.layers]
        for layer in training.layers:
            setattr(layer.rule, name, lambda dy, *_: np.zeros_like(dy))
        OnModel(training)
        training.advance()
        pairs = zip(before, training.layers, strict=True)
        assert [np.array_equal(was, layer.weights) for was, layer in pairs] == still
