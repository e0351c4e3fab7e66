"""Training whose steps are a device's: the same bits as the host's in the device's arithmetic, also
from a checkpoint; steps that overflow; what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from heddle.hw.config import preset
from heddle.sim.golden.device import ModelTransport
from heddle.sw.cli import app
from heddle.sw.errors import FormatError
from heddle.sw.host.device import Device
from heddle.sw.nn import checkpoint, exact
from heddle.sw.nn.data import Dataset
from heddle.sw.nn.exact import Master, Numbers
from heddle.sw.nn.on_device import OnDevice
from heddle.sw.nn.on_model import OnModel
from heddle.sw.nn.recipes import Moment
from heddle.sw.nn.trainer import Recipe, Training

from ..sim.devices import LEARNER

RECIPE = Recipe(hidden=(24, 16), epochs=3, batch=16, rate=0.1, pull=0, seed=3)


def dataset(pixels: int = 20, images: int = 56) -> Dataset:
    """Ten classes of noise about ten points; `images` is no multiple of the batch."""
    rng = np.random.default_rng(5)
    points = rng.random((10, pixels)).astype("f4")
    labels = rng.integers(10, size=images)
    x = (points[labels] + rng.normal(0, 0.1, (images, pixels))).astype("f4")
    return Dataset("noise", x, labels, x[:20], labels[:20])


def model(config=LEARNER) -> Device:
    return Device(ModelTransport(config), config.name)


def bits(training: Training) -> list[bytes]:
    parts = [
        (x.weights, x.bias, y.weights.speed, y.bias.speed)
        for x, y in zip(training.layers, training.learning, strict=True)
    ]
    return [part.tobytes() for each in parts for part in each]


def test_steps_are_the_hosts_in_the_devices_arithmetic():
    data = dataset()
    training, host = (Training.begun(data, RECIPE) for _ in range(2))
    masters = [
        Master(layer.weights, layer.bias, np.zeros_like(layer.weights), np.zeros_like(layer.bias))
        for layer in host.layers
    ]
    # Channels in whole groups: the classes are filled up.
    filled = [replace(m) for m in masters]
    last = filled[-1]
    for name in ("weights", "speed"):
        setattr(last, name, np.pad(getattr(last, name), ((0, 0), (0, 6))))
    for name in ("bias", "bias_speed"):
        setattr(last, name, np.pad(getattr(last, name), (0, 6)))
    first = filled[0]
    for name in ("weights", "speed"):
        setattr(first, name, np.pad(getattr(first, name), ((0, 4), (0, 0))))
    with model() as device:
        OnDevice(training, device)
        order = np.random.default_rng(0)
        order.bit_generator.state = training.rng.bit_generator.state
        chosen = order.permutation(len(data.train_x))
        for step in range(training.epoch_steps):
            training.advance()
            mine = chosen[step * 16 :][:16]
            x = np.pad(data.train_x[mine], ((0, 0), (0, 4))).astype("f2")
            pruned = [
                layer.rule.prune(master.weights, Moment(step, 9))
                for layer, master in zip(training.layers, filled, strict=True)
            ]
            used = [(p.forward.astype("f2"), p.backward.astype("f2")) for p in pruned]
            targets = exact.targets_of(data.train_y[mine], 10)
            outcome = exact.step(filled, used, x, targets, Numbers(0.1, 0.9, 1e-4))
            assert outcome.counts
            assert training.losses[-1] == float(outcome.losses.mean())
        training.settle()
    assert training.epoch_steps == 3 and training.skipped == 0
    for layer, learning, master in zip(training.layers, training.learning, filled, strict=True):
        rows, columns = layer.weights.shape
        assert np.array_equal(layer.weights, master.weights[:rows, :columns])
        assert np.array_equal(learning.weights.speed, master.speed[:rows, :columns])
        assert np.array_equal(layer.bias, master.bias[:columns])
        assert not master.weights[rows:].any() and not master.weights[:, columns:].any()


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_checkpoint_goes_on_with_the_same_bits(tmp_path, stop):
    data = dataset()
    whole, part = (Training.begun(data, RECIPE) for _ in range(2))
    with model() as device:
        OnDevice(whole, device)
        while not whole.done:
            whole.advance()
        whole.settle()
    with model() as device:
        OnDevice(part, device)
        for _ in range(stop):
            part.advance()
        checkpoint.save(tmp_path / "kept", part)
    again = checkpoint.load(tmp_path / "kept", data, RECIPE)
    assert again.whole_batches
    with model() as device:
        OnDevice(again, device)
        while not again.done:
            again.advance()
        again.settle()
    assert bits(again) == bits(whole) and again.curve == whole.curve
    assert whole.curve[-1][0] < whole.curve[0][0]


def test_convolutions_learn():
    data = dataset(64, 32)
    recipe = replace(RECIPE, architecture="cnn", channels=(8, 16, 16), epochs=2, rate=0.05)
    config = replace(LEARNER, name="broad", tensor_words=1 << 15, weight_slots=512)
    config = replace(config, activation_groups=256, schedule_records=256)
    training = Training.begun(data, recipe)
    with model(config) as device:
        OnDevice(training, device)
        while not training.done:
            training.advance()
    assert training.curve[-1][0] < training.curve[0][0] and not training.skipped


def test_a_scale_that_is_too_large_is_halved():
    training = Training.begun(dataset(), RECIPE)
    training.scale = 2.0**22
    before = bits(training)
    with model() as device:
        OnDevice(training, device)
        training.advance()
        assert np.isnan(training.losses[-1]) and training.skipped == 1
        training.settle()
        assert bits(training) == before
        while training.skipped and np.isnan(training.losses[-1]):
            training.advance()
    assert training.scale == 2.0 ** (22 - training.skipped) and training.skipped < 5


def test_a_training_that_diverges():
    training = Training.begun(dataset(), RECIPE)
    training.scale = 1.0
    training.layers[0].weights *= np.float32(1e6)
    with model() as device:
        OnDevice(training, device)
        with pytest.raises(FormatError, match="step 0 overflows .* smaller --rate"):
            training.advance()


def test_masters_that_outgrow_what_is_multiplied():
    """A rate so large that no half holds the weights after a step: found at each rank of devices,
    and on the host, whose numbers reach further."""
    fast = replace(RECIPE, rate=1e7)
    there, here, host = (Training.begun(dataset(), fast) for _ in range(3))
    OnModel(here)
    with model() as device:
        OnDevice(there, device)
        for training in (there, here):
            with pytest.raises(FormatError, match="diverges: take a smaller --rate"):
                while not training.done:
                    training.scale = 1.0
                    training.advance()
    host.recipe = replace(fast, rate=1e30)
    with np.errstate(all="ignore"), pytest.raises(FormatError, match="the loss of step . is no"):
        while not host.done:
            host.advance()


@pytest.mark.parametrize("kind", [OnModel, OnDevice])
def test_images_that_no_half_holds(kind):
    data = dataset()
    data.train_x[:, 3] = -1e6
    training = Training.begun(data, RECIPE)
    with model() as device, pytest.raises(FormatError, match="data set is -1e.06, .*: scale it"):
        kind(*([training] if kind is OnModel else [training, device]))
        training.advance()


def test_what_a_device_cannot_train():
    with model() as device, pytest.raises(FormatError, match="kept, static and dense, not sr-ste"):
        OnDevice(Training.begun(dataset(), replace(RECIPE, method="sr-ste")), device)
    with model() as device, pytest.raises(FormatError, match="N of every 8, not 2:4"):
        OnDevice(Training.begun(dataset(), replace(RECIPE, m=4)), device)
    with model(preset("small")) as device:
        training = Training.begun(dataset(), RECIPE)
        OnDevice(training, device)
        with pytest.raises(FormatError, match="'small' has no pruner"):
            training.advance()


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "train --device model --hidden 16 --epochs 1 --batch 256 --out mine.safetensors".split()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "wrote mine.safetensors" in " ".join(done.output.split())
    for more, words_of_it in (
        (["--hidden", "a"], "--hidden 'a' is no list of widths"),
        (["--device", "sim", "--preset", "vast"], "no preset 'vast'"),
    ):
        done = CliRunner().invoke(app, [*words, "--force", *more])
        assert words_of_it in str(done.exception)
