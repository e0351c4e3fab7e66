"""A board at its pins: the same script and the self-test, through a pseudo-terminal."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa.link_protocol import PROTOCOL_VERSION
from heddle.hw.isa.registers import ADDRESS
from heddle.hw.platforms.boards import BOARDS
from heddle.sim.engines.board import serve
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.link_model import ModelPort
from heddle.sw import cli
from heddle.sw.errors import DeviceError
from heddle.sw.host import selftest
from heddle.sw.host.device import Device
from heddle.sw.host.open import open_device
from heddle.sw.nn import network, quantise, trainer
from heddle.sw.nn.data import load
from heddle.sw.transports.serial_link import LinkTransport
from heddle.sw.transports.serial_port import SerialPort

SIZES = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
DIGITS = Config(
    "board-fp16", 4, 4, FP16, activation_groups=64, weight_slots=256, schedule_records=64
)
TINY = Config("board-int8", 2, 2, INT8, **SIZES)
TRAINS = BOARDS["ulx3s-85f"].build("fp16_4x4_training").config
TRAINER = replace(TRAINS, tensor_words=2048, activation_groups=64, weight_slots=128)
"""With smaller memories."""


@contextmanager
def plugged(config: Config, until: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """The path of a board of this configuration, which is there as long, or `until` something."""
    ready, stop, path = threading.Event(), threading.Event(), []

    def announce(name):
        path.append(name)
        ready.set()

    thread = threading.Thread(
        target=serve, args=(config, announce, lambda: stop.is_set() or until())
    )
    thread.start()
    assert ready.wait(120)
    try:
        yield path[0]
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def board(request):
    """The path of a board of the parameter's configuration."""
    with plugged(request.param) as path:
        yield path


@pytest.mark.parametrize("board", [TINY], indirect=True)
def test_selftest_through_the_pins(board):
    done = CliRunner().invoke(cli.app, ["selftest", "--device", board])
    assert done.exit_code == 0, done.output
    units = ["serial link", *selftest.UNITS]
    assert f"all {len(units)} units pass" in done.output
    assert all(unit in done.output for unit in units)


@pytest.mark.slow
@pytest.mark.parametrize("board", [DIGITS], indirect=True)
def test_digits_through_the_pins(board, tmp_path):
    net = network.Network.load(network.DEFAULT)
    x = load(net.data).test_x[:4]
    with open_device(board) as opened:
        got = net.run(x, network.hardware(opened, []))
        want = net.run(x, network.golden(opened.config))
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    arguments = ["run", "--device", board, "--baud", "115200", "--images", "2"]
    done = CliRunner().invoke(cli.app, [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("board", [TINY], indirect=True)
def test_an_int8_network_through_the_pins(board, tmp_path):
    digits = load()
    layers = trainer.train(digits, trainer.Recipe(hidden=(16,), epochs=2))
    path = tmp_path / "network.safetensors"
    quantise.quantise_network(layers, digits).save(path)
    arguments = ["run", "--device", board, "--network", str(path), "--images", "4"]
    done = CliRunner().invoke(cli.app, [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0 and "agree in every bit" in done.output, done.output


def to_train(folder: Path, name: str, device: str, *more: str) -> list[str]:
    """Of `heddle`, to train with images of three classes, and none to test with."""
    data, rng = folder / "three.npz", np.random.default_rng(4)
    labels = np.arange(32) % 3
    x = rng.random((3, 12))[labels] + rng.normal(0, 0.1, (32, 12))
    np.savez(data, train_x=x.astype("f4"), train_y=labels)
    words = ["train", "--data", data, "--method", "kept", "--nm", "2:4", "--hidden", "8,8"]
    words += ["--batch", "16", "--epochs", "2", "--out", folder / name, "--device", device, *more]
    if device == "model":
        words += ["--board", "ulx3s-85f/fp16_4x4_training"]
    return list(map(str, words))


def trained(folder: Path, name: str, device: str, *more: str) -> Result:
    return CliRunner().invoke(cli.app, to_train(folder, name, device, *more))


@pytest.mark.parametrize(
    "board", [TRAINER, pytest.param(TRAINS, marks=pytest.mark.slow)], indirect=True
)
def test_training_through_the_pins(board, tmp_path):
    """Four steps, the mask frozen after two of them: the device holds kept weights alone then."""
    for name, device in (("a", board), ("b", "model")):
        done = trained(tmp_path, name, device)
        assert done.exit_code == 0, done.output
        assert "accuracy with what it learnt from" in done.output
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
def test_a_board_that_is_unplugged_while_it_trains(tmp_path):
    """In the middle of a step. What was kept is said, and another board ends with the same bits."""
    kept = tmp_path / "a.checkpoint"
    with plugged(TRAINER, kept.exists) as path:
        broken = trained(tmp_path, "a", path, "--every", "0")
    assert isinstance(broken.exception, DeviceError)
    assert "broke: check the cable" in str(broken.exception) and not (tmp_path / "a").exists()
    assert f"what was done up to the last checkpoint is in {kept}" in broken.output
    with plugged(TRAINER) as path:
        again = trained(tmp_path, "a", path)
    assert again.exit_code == 0 and f"going on from {kept}" in again.output, again.output
    assert trained(tmp_path, "b", "model").exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("board", [TRAINER], indirect=True)
def test_a_process_that_is_killed_while_a_board_trains(board, tmp_path):
    """In the middle of a step. The board is used again as it was left, and ends with the same
    bits."""
    kept = tmp_path / "a.checkpoint"
    words = to_train(tmp_path, "a", board, "--every", "0")
    command = [sys.executable, "-c", "from heddle.sw.cli import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not kept.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    again = trained(tmp_path, "a", board)
    assert again.exit_code == 0 and f"going on from {kept}" in again.output, again.output
    assert trained(tmp_path, "b", "model").exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("board", [TINY], indirect=True)
def test_a_port_in_use(board):
    port = SerialPort(board)
    with pytest.raises(DeviceError, match="in use"):
        SerialPort(board)
    port.close()


def test_no_such_port():
    with pytest.raises(DeviceError, match="there is no port /dev/ttyNONE9"):
        open_device("/dev/ttyNONE9")


def test_another_version_of_the_link(monkeypatch):
    monkeypatch.setattr("heddle.sim.testbenches.link_model.PROTOCOL_VERSION", PROTOCOL_VERSION + 1)
    with pytest.raises(DeviceError, match="speaks version 2 of the serial link"):
        LinkTransport(ModelPort(TINY))


class Broken(ModelTransport):
    """A device one of whose units is broken."""

    def __init__(self, unit):
        super().__init__(TINY)
        self.unit = unit

    def read_register(self, address):
        counts = 44 <= address < ADDRESS["settings_pages"]
        return 0 if self.unit == "counters" and counts else super().read_register(address)

    def _run(self, field):
        if self.unit == "processing elements":
            self._values[:, 1] &= 0x7F
        if self.unit == "decoders":
            self._indices[:, 0] &= ~np.uint8(1)
        return super()._run(field)


@pytest.mark.parametrize("unit", ["decoders", "processing elements", "counters"])
def test_a_broken_unit_fails(unit):
    results = {r.unit: r.passed for r in selftest.run(Device(Broken(unit)))}
    assert not results[unit]
