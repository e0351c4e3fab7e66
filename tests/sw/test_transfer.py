"""Trainings that begin with a packed network, and train only its last layers."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from heddle.hw.formats import INT8
from heddle.sim.golden.device import ModelTransport
from heddle.sw.cli import app
from heddle.sw.errors import FormatError
from heddle.sw.host.device import Device
from heddle.sw.nn import checkpoint, transfer
from heddle.sw.nn.data import Dataset
from heddle.sw.nn.network import SHIPPED, Network, from_trained
from heddle.sw.nn.on_device import OnDevice
from heddle.sw.nn.on_model import OnModel
from heddle.sw.nn.trainer import Recipe, Training

from ..sim.devices import LEARNER
from .test_on_device import RECIPE, bits, dataset

CNN = replace(RECIPE, architecture="cnn", channels=(8, 16, 16), epochs=1, rate=0.05)


def trained(data: Dataset, recipe: Recipe) -> Network:
    training = Training.begun(data, recipe)
    while not training.done:
        training.advance()
    return from_trained(training.layers, data.name)


def again(network: Network, data: Dataset, frozen: int, **changes) -> Training:
    recipe = replace(RECIPE, **transfer.shape_of(network), frozen=frozen, start="it", **changes)
    return Training.begun(data, recipe, transfer.layers_of(network))


@pytest.mark.parametrize(
    ("recipe", "data"), [(RECIPE, dataset()), (CNN, dataset(64, 32))], ids=["mlp", "cnn"]
)
def test_it_begins_where_the_network_ended(recipe, data):
    """Frozen layers are packed again as they were; the others learn on."""
    network = trained(data, recipe)
    training = again(network, data, len(network.layers) - 1)
    packed = from_trained(training.layers, data.name)
    assert training.accuracy() == np.mean(
        network.float32(data.test_x).argmax(axis=1) == data.test_y
    )
    assert packed.layers[:-1] == network.layers[:-1]
    while not training.done:
        training.advance()
    after = from_trained(training.layers, data.name)
    assert after.layers[:-1] == network.layers[:-1] and after.layers[-1] != network.layers[-1]


def test_another_number_of_classes():
    network = trained(dataset(), RECIPE)
    six = dataset()
    six = Dataset("six", six.train_x, six.train_y % 6, six.test_x, six.test_y % 6)
    training = again(network, six, 1)
    assert training.layers[-1].weights.shape == (16, 6)
    before = [layer.weights.copy() for layer in training.layers]
    training.advance()
    pairs = zip(before, training.layers, strict=True)
    assert [np.array_equal(was, layer.weights) for was, layer in pairs] == [True, False, False]


@pytest.mark.parametrize("frozen", [1, 2])
def test_devices_freeze_the_same(frozen):
    """The device's program and the host's arithmetic, in every bit; and less is to be done."""
    data, commands = dataset(), []
    network = trained(data, RECIPE)
    there, here = (again(network, data, frozen) for _ in range(2))
    OnModel(here)
    with Device(ModelTransport(LEARNER), LEARNER.name) as device:
        learner = OnDevice(there, device)
        while not there.done:
            there.advance()
        there.settle()
        commands.append(len(learner._made.program.commands))
        whole = OnDevice(again(network, data, 0), device)
        whole.training.advance()
        commands.append(len(whole._made.program.commands))
    while not here.done:
        here.advance()
    assert bits(here) == bits(there) and not there.skipped
    assert commands[0] < commands[1]
    kept = transfer.layers_of(network)
    for layer, other in list(zip(there.layers, kept, strict=True))[:frozen]:
        assert np.array_equal(layer.weights, other.weights)


def test_a_checkpoint(tmp_path):
    data = dataset()
    network = trained(data, RECIPE)
    whole, part = (again(network, data, 2) for _ in range(2))
    part.advance()
    checkpoint.save(tmp_path / "kept", part)
    part = checkpoint.load(tmp_path / "kept", data, part.recipe, transfer.layers_of(network))
    for training in (whole, part):
        while not training.done:
            training.advance()
    assert bits(part) == bits(whole) and part.layers[1].n == 2


def test_what_is_refused():
    data = dataset()
    network = trained(data, replace(RECIPE, epochs=1))
    with pytest.raises(FormatError, match="one must be trained"):
        again(network, data, 3)
    with pytest.raises(FormatError, match="has layers of 20 x 24, 24 x 16, 16 x 10"):
        Training.begun(data, replace(RECIPE, hidden=(32, 16)), transfer.layers_of(network))
    with pytest.raises(FormatError, match="has layers of"):
        again(network, dataset(28), 0)
    with pytest.raises(FormatError, match="name a --start"):
        replace(RECIPE, frozen=1)
    with pytest.raises(FormatError, match="network of int8"):
        transfer.layers_of(Network.load(SHIPPED[INT8]))


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = "train --hidden 16 --epochs 1 --batch 256 --out one.safetensors".split()
    then = "train --start one.safetensors --frozen 1 --epochs 1 --out two.safetensors".split()
    for words in (first, then):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    one, two = Network.load("one.safetensors"), Network.load("two.safetensors")
    assert one.layers[0] == two.layers[0] and one.layers[1] != two.layers[1]
