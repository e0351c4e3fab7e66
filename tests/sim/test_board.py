"""A board at its pins: the same script and the self-test, through a pseudo-terminal."""

import threading

import numpy as np
import pytest
from typer.testing import CliRunner

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa.link_protocol import PROTOCOL_VERSION
from heddle.hw.isa.registers import ADDRESS
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


@pytest.fixture
def board(request):
    """The path of a board of the parameter's configuration."""
    ready, stop, path = threading.Event(), threading.Event(), []

    def announce(name):
        path.append(name)
        ready.set()

    thread = threading.Thread(target=serve, args=(request.param, announce, stop.is_set))
    thread.start()
    assert ready.wait(120)
    yield path[0]
    stop.set()
    thread.join()


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
