"""Mistakes and mishaps at a serial port, as a user of the command meets them: one line, no loss."""

import os
import sys
import threading
import tty
from contextlib import contextmanager

import pytest

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.hw.isa.registers import ADDRESS, MAGIC
from heddle.sim.engines import verilator
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.link_model import LinkModel
from heddle.sw import cli
from heddle.sw.errors import DeviceError
from heddle.sw.host.open import is_board, is_port, open_device
from heddle.sw.nn.network import shipped
from heddle.sw.transports import serial_link, serial_port, simulated
from heddle.sw.transports.serial_link import LinkTransport
from heddle.sw.transports.serial_port import SerialPort

TINY = Config("tiny", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
FLOAT = Config("fp16", 4, 4, FP16, activation_groups=64, weight_slots=256, schedule_records=64)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Silences are short: nothing here needs time to answer."""
    monkeypatch.setattr(LinkTransport.__init__, "__defaults__", (0.05, 4))


@pytest.fixture
def heddle(monkeypatch, capsys):
    """Run a command that must fail with a single line that begins with "heddle:"; returns it."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["heddle", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr()
        assert end.value.code == 1
        assert "Traceback" not in out.out + out.err
        assert out.err.startswith("heddle: ") and out.err.count("\n") == 1, out.err
        return out.err

    return run


@contextmanager
def port(answer, pulled_after: int | None = None):
    """The path of a pseudo-terminal whose other end replies to what it reads by `answer`.

    After `pulled_after` replies the other end is gone, as with a cable.
    """
    master, slave = os.openpty()
    tty.setraw(slave)
    wake, stop = os.pipe()

    def serve():
        from select import select

        left = pulled_after
        while left != 0:
            if wake in select([master, wake], [], [])[0]:
                return
            reply = answer(os.read(master, 4096))
            if reply and left is not None:
                left -= 1
            while reply:
                reply = reply[os.write(master, reply) :]
        os.close(slave)
        os.close(master)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.write(stop, b"\0")
        thread.join()
        for descriptor in (wake, stop, *(() if pulled_after else (master, slave))):
            os.close(descriptor)


def older(monkeypatch):
    """A bitstream of another release of the link."""
    monkeypatch.setattr("heddle.sim.testbenches.link_model.PROTOCOL_VERSION", 7)
    return LinkModel(TINY).feed


def registers(**values):
    """A device some of whose registers hold something else."""
    model = LinkModel(TINY)
    right = model.device.read_register
    wrong = {ADDRESS[name]: value for name, value in values.items()}
    model.device.read_register = lambda address: wrong.get(address, right(address))
    return model.feed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda patch: lambda data: b"", "nothing answers at"),
        (lambda patch: lambda data: data, "nothing answers at"),
        (lambda patch: lambda data: os.urandom(50), "nothing answers at"),
        (older, "speaks version 7 of the serial link, this driver 1: load a bitstream of this"),
        (lambda patch: registers(magic=MAGIC ^ 1), "is no Heddle device"),
        (lambda patch: registers(version=9 << 16), "interface is version 9, this driver's is"),
    ],
    ids=["silence", "echo", "noise", "older link", "other device", "older interface"],
)
def test_what_is_not_a_device_of_this_release(answer, words, heddle, monkeypatch):
    with port(answer(monkeypatch)) as path:
        assert words in heddle("selftest", "--device", path)


def test_another_configuration(heddle):
    with port(LinkModel(TINY).feed) as path:
        text = heddle("run", "--device", path, "--network", shipped(FP16), "--images", 2)
    assert "the network is fp16" in text and "multiplies int8: name no network" in text


class Forgetful:
    """A device that loses power for a moment, after so many answers."""

    def __init__(self, answers: int):
        self.model, self.left = LinkModel(FLOAT), answers

    def __call__(self, data: bytes) -> bytes:
        self.left -= 1
        if self.left == 0:
            self.model = LinkModel(FLOAT)
        return self.model.feed(data)


class Mute(Forgetful):
    """One that says nothing any more."""

    def __call__(self, data: bytes) -> bytes:
        self.left -= 1
        return self.model.feed(data) if self.left > 0 else b""


@pytest.mark.parametrize(
    ("answer", "pulled_after", "words"),
    [
        (LinkModel(FLOAT).feed, 60, "broke: check the cable, then run again"),
        (Forgetful(60), None, "has forgotten this session"),
        (Mute(60), None, "no longer answers (4 attempts): check the cable"),
    ],
    ids=["pulled", "reset", "mute"],
)
def test_a_job_that_is_interrupted_leaves_the_last_report(
    answer, pulled_after, words, heddle, tmp_path
):
    report = tmp_path / "report.json"
    report.write_text("the last one")
    with port(answer, pulled_after) as path:
        assert words in heddle("run", "--device", path, "--images", 8, "--out", tmp_path)
    assert report.read_text() == "the last one" and list(tmp_path.iterdir()) == [report]


def test_a_port_in_use_stays_with_its_user(heddle):
    with port(LinkModel(TINY).feed) as path:
        first = LinkTransport(SerialPort(path))
        text = heddle("selftest", "--device", path)
        assert "is in use: close the other program" in text and f"fuser {path}" in text
        assert first.read_register(ADDRESS["magic"]) == MAGIC
        assert first.resent == 0
        first.close()


def test_a_port_without_the_right(heddle, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    with port(LinkModel(TINY).feed) as path:
        monkeypatch.setattr("serial.serialposix.os.open", refuse)
        assert "sudo usermod -aG dialout $USER" in heddle("selftest", "--device", path)


@pytest.mark.parametrize(("baud", "least"), [(None, 0.32), (115_200, 0.47), (9_600, 2.4)])
def test_a_slow_line_gets_the_time_that_it_takes(monkeypatch, baud, least):
    """The longest request, 1,024 bytes, all of them escaped: 0.02, 0.18, 2.1 seconds."""
    heard = {}

    def transport(port, **options):
        heard.update(options)
        raise DeviceError("enough")

    monkeypatch.setattr(serial_port, "SerialPort", lambda path, rate: None)
    monkeypatch.setattr(serial_link, "LinkTransport", transport)
    with pytest.raises(DeviceError, match="enough"):
        open_device("/dev/ttyUSB9", baud=baud)
    assert least <= heard["timeout"] < least + 0.1
    with pytest.raises(DeviceError, match="enough"):
        open_device("/dev/ttyUSB9", baud=baud, timeout=0.1)
    assert heard["timeout"] == 0.1


def test_a_rate_that_no_port_has(heddle):
    with port(LinkModel(TINY).feed) as path:
        text = heddle("selftest", "--device", path, "--baud", 1 << 32)
    assert f"cannot open {path} at 4,294,967,296 baud" in text


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/dev/null", "/dev/null is no serial port"),
        ("/", "/ is no serial port"),
        (__file__, "is no serial port"),
        ("/dev/[/x]/ttyUSB7", "there is no port /dev/[/x]/ttyUSB7"),
    ],
)
def test_what_is_no_port(place, words, heddle):
    assert words in heddle("selftest", "--device", place)


def test_the_list_of_devices_goes_on_past_a_bad_port(monkeypatch, capsys):
    with port(LinkModel(TINY).feed) as good, port(lambda data: b"") as silent:
        monkeypatch.setattr(serial_port, "paths", lambda: ["/dev/ttyNONE", silent, good])
        monkeypatch.setattr(sys, "argv", ["heddle", "devices"])
        with pytest.raises(SystemExit) as end:
            cli.main()
    text = " ".join(capsys.readouterr().out.split())
    assert not end.value.code
    assert "there is no port /dev/ttyNONE" in text and f"nothing answers at {silent}" in text
    assert f"{good} 2 x 2 int8, M = 8" in text


def test_what_names_a_board():
    for name in ("xdma:/dev/xdma0", "pynq:/home/heddle.bit"):
        assert is_board(name) and not is_port(name)
    for name in ("/dev/ttyUSB0", "COM3", "com10", "./port"):
        assert is_board(name) and is_port(name)
    for name in ("sim", "model", "amaranth"):
        assert not is_board(name) and not is_port(name)


def test_sim_is_verilog_where_there_is_a_compiler(monkeypatch):
    for there, kind in ((True, "SimulatedTransport"), (False, "AmaranthTransport")):
        monkeypatch.setattr(verilator, "available", lambda there=there: there)
        for name in ("SimulatedTransport", "AmaranthTransport"):
            made = type(name, (ModelTransport,), {"__init__": lambda s, c, **_: s.begin(c)})
            made.begin = ModelTransport.__init__
            monkeypatch.setattr(simulated, name, made)
        with open_device("sim", "tiny") as device:
            assert type(device.transport.carrier).__name__ == kind
