"""XDMA and PYNQ, with files and a stand-in for the package where the hardware would be."""

import ctypes
import errno
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.dma_model import DmaModel
from heddle.sw import cli
from heddle.sw.errors import DeviceError
from heddle.sw.host.device import Device
from heddle.sw.host.open import open_device
from heddle.sw.transports import memories, serial_port
from heddle.sw.transports.memories import XdmaMemory

CONFIG = preset("tiny")


class Card:
    """What AMD's driver makes of a card: three nodes, and a model behind them."""

    def __init__(self, path: str):
        self.model = DmaModel(CONFIG, size=memories.XDMA_SIZE, base=0)
        self.nodes = {f"{path}_{part}": part for part in ("h2c_0", "c2h_0", "user")}
        self.open = {}
        self.pinned = []

    def os_open(self, path, mode):
        if path not in self.nodes:
            raise OSError(errno.ENOENT, "No such file")
        self.open[len(self.open) + 1000] = self.nodes[path]
        return len(self.open) + 999

    def pread(self, file, size, at):
        assert self.open[file] == "user" and size == 4
        return self.model.read_register(at).to_bytes(4, "little")

    def read_into(self, file, stage, at):
        assert self.open[file] == "c2h_0"
        self.pin(stage, at)
        data = self.model.read(at, min(len(stage), 1000))  # a read may give less
        stage[: len(data)] = data
        return len(data)

    def pwrite(self, file, data, at):
        if self.open[file] == "user":
            self.model.write_register(at, int.from_bytes(data, "little"))
            return len(data)
        assert self.open[file] == "h2c_0"
        self.pin(data, at)
        self.model.write(at, bytes(data[:1000]))
        return len(data[:1000])

    def pin(self, stage, at):
        """What the driver asks of the caller's memory, with the coarsest of alignments."""
        here = ctypes.c_char.from_buffer(stage)  # refuses what cannot be written
        self.pinned.append((ctypes.addressof(here) % 4096, at % 4096))

    def close(self, file):
        del self.open[file]


@pytest.fixture
def card(monkeypatch):
    card = Card("/dev/xdma7")
    fake = SimpleNamespace(
        **{name: getattr(os, name) for name in ("O_RDWR", "O_RDONLY", "O_WRONLY")}
    )
    fake.open, fake.close, fake.pread, fake.pwrite = (
        card.os_open,
        card.close,
        card.pread,
        card.pwrite,
    )
    monkeypatch.setattr(memories, "os", fake)
    monkeypatch.setattr(memories, "_read_into", card.read_into)
    monkeypatch.setattr("fcntl.flock", lambda file, how: None)
    return card


def product(device) -> np.ndarray:
    rng = np.random.default_rng(3)
    return device.matmul(rng.integers(-9, 9, (9, 40)), rng.integers(-9, 9, (40, 9)))[0]


def expected() -> np.ndarray:
    return product(Device(ModelTransport(CONFIG)))


def test_product_through_xdma(card):
    with open_device("xdma:/dev/xdma7") as device:
        assert np.array_equal(product(device), expected())
    assert not card.open


def test_transfers_suit_the_drivers_engines(card, monkeypatch):
    """Addresses on host and card agree in a page, in pages of our own, whatever is written."""
    memory = XdmaMemory("/dev/xdma7")
    data = bytes(range(256)) * 12
    memory.write(4093, memoryview(data))  # read-only, and off every alignment
    assert memory.read(4093, len(data)) == data == card.model.read(4093, len(data))
    # A transfer of the stand-in moves at most 1,000 bytes.
    steps = [4093, 997, 1997, 2997]
    assert card.pinned == [(at, at) for at in steps] * 2
    monkeypatch.setattr(memories, "STAGE", 512)
    card.pinned.clear()
    memory.write(64, data)
    assert memory.read(64, len(data)) == data and len(card.pinned) == 12
    memory.close()


def test_a_read_is_at_its_place_and_may_be_short(tmp_path):
    for part, content in (("h2c_0", b""), ("c2h_0", b"0123456789"), ("user", b"ab")):
        (tmp_path / f"xdma0_{part}").write_bytes(content)
    memory = XdmaMemory(f"{tmp_path}/xdma0")
    assert memory.read(3, 4) == b"3456"
    with pytest.raises(DeviceError, match="gave 2 of 5 bytes at 0x8"):
        memory.read(8, 5)
    with pytest.raises(DeviceError, match="gave 2 of 4 bytes at 0x0"):
        memory.read_register(0)
    memory.write(2, b"xyz")
    memory.close()
    assert (tmp_path / "xdma0_h2c_0").read_bytes() == b"\0\0xyz"


def test_no_card(card):
    with pytest.raises(DeviceError, match="modprobe xdma"):
        open_device("xdma:/dev/xdma3")
    assert not card.open


def test_no_rights(card, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(memories.os, "open", refuse)
    with pytest.raises(DeviceError, match="no right to use /dev/xdma0_user"):
        XdmaMemory()


def test_card_that_is_gone(card, monkeypatch):
    device = open_device("xdma:/dev/xdma7")

    def gone(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(memories.os, "pread", gone)
    with pytest.raises(DeviceError, match="does not answer"):
        device.counters()


def test_a_card_in_use_stays_with_its_user(monkeypatch, tmp_path, capsys):
    for part in ("h2c_0", "c2h_0", "user"):
        (tmp_path / f"xdma0_{part}").touch()
    path = f"{tmp_path}/xdma0"
    first = XdmaMemory(path)
    in_use = f"{path}_user is in use: close the other program"
    with pytest.raises(DeviceError, match=in_use):
        XdmaMemory(path)

    monkeypatch.setattr(cli.devices.console, "width", 300)
    monkeypatch.setattr(memories, "NODES", tmp_path)
    monkeypatch.setattr(serial_port, "paths", list)
    monkeypatch.setattr(sys, "argv", ["heddle", "devices"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert in_use in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "xdma0_user").read_bytes()  # no register was written

    first.close()
    XdmaMemory(path).close()


class Buffer(np.ndarray):
    """As `pynq.allocate` gives it, in the model's memory."""

    physical_address: int
    freed = False

    def flush(self):
        pass

    def invalidate(self):
        pass

    def freebuffer(self):
        Buffer.freed = True


HANDOFF = """<MODULE INSTANCE="ps">
  <PARAMETER NAME="PCW_FPGA0_PERIPHERAL_FREQMHZ" VALUE="71.4286"/>
  <PARAMETER NAME="PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ" VALUE="71.428574"/>
</MODULE>"""


class PynqClocks:
    """`pynq.ps.Clocks`: whole divisions of a PLL, the nearest one to what is asked for."""

    pll, divisor = 1000.0, 14

    @property
    def fclk0_mhz(self):
        return round(self.pll / self.divisor, 6)

    @fclk0_mhz.setter
    def fclk0_mhz(self, mhz):
        self.divisor = round(self.pll / mhz)


@pytest.fixture
def pynq(monkeypatch, tmp_path):
    model = DmaModel(CONFIG, size=memories.PYNQ_SIZE)

    def allocate(shape, dtype):
        buffer = np.frombuffer(model.memory, dtype).reshape(shape).view(Buffer)
        buffer.physical_address = model.base
        return buffer

    block = SimpleNamespace(read=model.read_register, write=model.write_register)
    package = SimpleNamespace(allocate=allocate, Overlay=lambda path: SimpleNamespace(heddle=block))
    clocks = PynqClocks()
    monkeypatch.setitem(sys.modules, "pynq", package)
    monkeypatch.setitem(sys.modules, "pynq.ps", SimpleNamespace(Clocks=clocks))
    file = tmp_path / "heddle.bit"
    file.touch()
    file.with_suffix(".hwh").write_text(HANDOFF)
    return SimpleNamespace(file=file, package=package, clocks=clocks)


def test_product_through_pynq(pynq):
    with open_device(f"pynq:{pynq.file}") as device:
        assert np.array_equal(product(device), expected())
    assert Buffer.freed


@pytest.mark.parametrize(
    ("pll", "divisor", "mhz"), [(1000, 14, 71.428571), (1000, 12, 71.428571), (1600, 14, 69.565217)]
)
def test_pynq_runs_no_faster_than_the_design_was_timed_for(pynq, pll, divisor, mhz):
    pynq.clocks.pll, pynq.clocks.divisor = pll, divisor
    open_device(f"pynq:{pynq.file}").close()
    assert pynq.clocks.fclk0_mhz == mhz


def test_pynq_whose_clock_is_not_known_or_not_to_be_had(pynq, monkeypatch):
    stuck = property(lambda self: 100.0, lambda self, mhz: None)
    monkeypatch.setattr(PynqClocks, "fclk0_mhz", stuck)
    with pytest.raises(DeviceError, match="timed for 71.4286 MHz, .* stays at 100 MHz"):
        open_device(f"pynq:{pynq.file}")
    pynq.file.with_suffix(".hwh").write_text("")
    with pytest.raises(DeviceError, match="heddle.hwh does not tell the clock of"):
        open_device(f"pynq:{pynq.file}")


def test_pynq_that_is_not_as_it_should_be(pynq, monkeypatch):
    with pytest.raises(DeviceError, match="there is no bitstream"):
        open_device(f"pynq:{pynq.file}x")
    pynq.package.Overlay = lambda path: SimpleNamespace()
    with pytest.raises(DeviceError, match="holds no block 'heddle'"):
        open_device(f"pynq:{pynq.file}")
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(DeviceError, match="package pynq is missing"):
        open_device(f"pynq:{pynq.file}")


@pytest.mark.parametrize("call", ["Overlay", "allocate"])
@pytest.mark.parametrize(
    "reason",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        RuntimeError("Root permissions required."),
    ],
    ids=lambda reason: type(reason).__name__,
)
def test_pynq_that_fails(pynq, call, reason):
    def fail(*arguments, **options):
        raise reason

    setattr(pynq.package, call, fail)
    with pytest.raises(DeviceError, match="run heddle as root, with the .bit and the .hwh") as told:
        open_device(f"pynq:{pynq.file}")
    assert f"{pynq.file} ({type(reason).__name__}: {reason})" in str(told.value)


def test_pynq_whose_registers_cannot_be_mapped(pynq):
    class Overlay:
        def __init__(self, path):
            pass

        @property
        def heddle(self):
            raise OSError("Root permissions required.")

    pynq.package.Overlay = Overlay
    with pytest.raises(DeviceError, match="run heddle as root"):
        open_device(f"pynq:{pynq.file}")


def test_pynq_without_the_description_of_the_bitstream(pynq):
    pynq.file.with_suffix(".hwh").unlink()
    with pytest.raises(DeviceError, match="there is no .*heddle.hwh, .* copy it there, beside"):
        open_device(f"pynq:{pynq.file}")


def test_cards_are_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(memories, "NODES", tmp_path)
    assert memories.cards() == []
    for node in ("xdma1_user", "xdma0_user", "xdma0_h2c_0", "xdma0_events_1"):
        (tmp_path / node).touch()
    assert memories.cards() == [f"{tmp_path}/xdma0", f"{tmp_path}/xdma1"]
