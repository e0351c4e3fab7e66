"""A device, whatever carries its bytes: simulated, modelled, or on a board.

`open` gives a `Device`; the same script runs on every kind of it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ...hw.config import Accumulation, Config, preset
from ...hw.isa.commands import Flag
from ...hw.isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    MAGIC,
    REGISTERS,
    VERSION,
    Access,
    config_from,
    constants,
)
from ..errors import DeviceError
from ..transports.guarded import GuardedTransport

log = logging.getLogger(__name__)

KINDS = {
    "sim": "the generated Verilog in Verilator",
    "amaranth": "in Amaranth's simulator, slow",
    "model": "the golden model, without time",
}
"""Devices that need no board, and what they are."""
MEMORIES = ("xdma", "pynq")
"""Boards beside a memory: what stands before the colon."""
COUNTERS = tuple(
    r.name
    for r in REGISTERS
    if r.access is Access.READ and r.name not in ("status", "flags") and r.name[-5:] != "_high"
)


class Transport(Protocol):
    """What carries registers and packets to a device and back, one call at a time."""

    beat_bytes: int
    """Bytes of a beat of the device's streams."""

    def read_register(self, address: int) -> int:
        """The 32-bit register at byte `address`."""
        ...

    def write_register(self, address: int, value: int) -> None:
        """Write the 32-bit register at byte `address`."""
        ...

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets while taking the responses: one each, in order.

        `on_response` is told how many have come. Raises `DeviceError` if the device stops.
        """
        ...

    def recover(self) -> None:
        """Reset the device, wherever an exception or Ctrl-C has left it and the way to it."""
        ...

    def close(self) -> None: ...


class Device:
    """An accelerator that describes itself in its registers.

    Threads may share it: each product is computed whole before the next. After one that was
    interrupted the device is reset at its next use. Closing it ends the product under way, by a
    `DeviceError`. Raises `DeviceError`, and closes `transport`, if what answers is no Heddle
    device, one of another major version, or describes itself as what no device can be.
    """

    def __init__(self, transport: Transport, name: str = "device"):
        self.transport = GuardedTransport(transport)
        try:
            self.config: Config = self._described(name)
        except BaseException:
            self.close()
            raise

    def _described(self, name: str) -> Config:
        read = {r.name: self.read(r.name) for r in REGISTERS if r.access is Access.CONSTANT}
        magic, version = read["magic"], read["version"]
        if magic != MAGIC:
            raise DeviceError(
                f"what answers is no Heddle device (its first register is {magic:#010x}, not "
                f"{MAGIC:#010x}); is it the right port, and is a bitstream loaded?"
            )
        if version >> 16 != VERSION >> 16:
            raise DeviceError(
                f"the device's interface is version {version >> 16}, this driver's is "
                f"{VERSION >> 16}: load a bitstream of this release, or install the release "
                "that made the bitstream"
            )
        # A device of an interface before 1.3 has no such register, and two pages.
        read["channel_pages"] = read["channel_pages"] or 2
        try:
            config = config_from(read, name)
        except ValueError as reason:
            raise _impossible(str(reason)) from None
        for register, value in constants(config).items():
            if register != "version" and read[register] != value:
                raise _impossible(f"register {register} is {read[register]:#x}, not {value:#x}")
        beat = self.transport.carrier.beat_bytes
        if beat != config.stream_bytes:
            raise _impossible(f"beats of {beat} bytes, not {config.stream_bytes}")
        return config

    def __repr__(self) -> str:
        c = self.config
        added = "" if c.accumulation is Accumulation.EXACT else ", FP32 accumulation"
        return f"<Device {c.name!r}: {c.rows} x {c.columns} {c.format.name}, M = {c.group}{added}>"

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Give the device back; every later use raises `DeviceError`. Closing again is harmless."""
        self.transport.close()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Several uses without another thread's in between: ``with device.turn(): …``."""
        with self.transport.turn():
            yield

    def read(self, register: str) -> int:
        """A register by name; a 64-bit counter whole."""
        value = self.transport.read_register(ADDRESS[register])
        if f"{register}_high" in ADDRESS:
            value |= self.transport.read_register(ADDRESS[f"{register}_high"]) << 32
        return value

    def counters(self) -> dict[str, int]:
        return {name: self.read(name) for name in COUNTERS}

    def flags(self) -> set[Flag]:
        """The sticky flags that are set."""
        value = self.read("flags")
        return {flag for flag in Flag if value >> flag & 1}

    def clear(self) -> None:
        """Counters and sticky flags back to zero."""
        self._control(CONTROL_CLEAR_COUNTERS | CONTROL_CLEAR_FLAGS)

    def reset(self) -> None:
        """Stop whatever is under way and empty the device."""
        self._control(CONTROL_RESET)

    def _control(self, value: int) -> None:
        self.transport.write_register(ADDRESS["control"], value)

    def matmul(self, x, weights, **options):
        """``x @ weights`` on this device: see `sw.host.driver.matmul`."""
        from .driver import matmul

        return matmul(self, x, weights, **options)


def _impossible(what: str) -> DeviceError:
    return DeviceError(
        f"the device describes itself as what no device can be ({what}): the line may be bad, or "
        "the bitstream damaged or of another release; load a bitstream of this release"
    )


def open(
    kind: str | os.PathLike[str] = "sim",
    preset_name: str = "small",
    *,
    config: Config | None = None,
    trace: str | Path | None = None,
    **options,
) -> Device:
    """Open a device: "sim" (the generated Verilog in Verilator; without a C++ compiler Amaranth's
    simulator), "amaranth" (that one), "model" (the golden model behind the same commands), or the
    path of a serial port with a board ("/dev/ttyUSB0", "COM3"; `baud` sets its rate), or a board
    beside a memory: "xdma:/dev/xdma0" (a PCI Express card) and "pynq:heddle.bit" (a Zynq board).
    A board knows its own configuration; the preset is for the others.

    `trace` names a waveform file (.fst, .vcd) for "sim". Raises `DeviceError`, `ConfigError`.
    """
    kind = os.fspath(kind)
    carrier, _, place = kind.partition(":")
    if is_board(kind):
        if trace is not None:
            raise DeviceError(f"waveforms come from the device 'sim', not from {kind!r}")
        return _open_memory(carrier, place) if carrier in MEMORIES else _open_port(kind, **options)
    config = config or preset(preset_name)
    if kind not in KINDS:
        raise DeviceError(
            f"no device of kind {kind!r}; there are {', '.join(KINDS)}, serial ports by path, and "
            f"{', '.join(f'{name}:…' for name in MEMORIES)}"
        )
    if trace is not None and kind != "sim":
        raise DeviceError(f"waveforms come from the device 'sim', not from {kind!r}")
    if kind == "model":
        from ...sim.golden.device import ModelTransport

        return Device(ModelTransport(config), config.name)
    from ...sim.engines import verilator
    from ..transports import simulated

    if kind == "sim" and trace is None and not verilator.available():
        log.warning("no C++ compiler: 'sim' is Amaranth's simulator, thousands of times slower")
        kind = "amaranth"
    if kind == "amaranth":
        return Device(simulated.AmaranthTransport(config), config.name)
    return Device(simulated.SimulatedTransport(config, trace=trace, **options), config.name)


def is_board(kind: str) -> bool:
    """Whether `kind` names a board, which knows its own configuration."""
    return kind.partition(":")[0] in MEMORIES or is_port(kind)


def is_port(kind: str) -> bool:
    """Whether `kind` names a serial port: a path, or one of Windows' names."""
    if kind.partition(":")[0] in MEMORIES:
        return False
    return "/" in kind or kind.upper().startswith("COM")


def _open_port(path: str, baud: int | None = None, **link) -> Device:
    from ...hw.isa.link_protocol import STORE_BYTES
    from ..transports.serial_link import TIMEOUT, LinkTransport
    from ..transports.serial_port import BAUD, SerialPort, seconds

    rate = baud or BAUD
    # The answer to the longest request, every byte of it escaped, comes after that.
    patient = {"timeout": TIMEOUT + seconds(2 * STORE_BYTES, rate)}
    return Device(LinkTransport(SerialPort(path, rate), **patient | link), path)


def _open_memory(carrier: str, place: str) -> Device:
    from ..transports.dma import DmaTransport
    from ..transports.memories import XDMA, PynqMemory, XdmaMemory

    memory = XdmaMemory(place or XDMA) if carrier == "xdma" else PynqMemory(place)
    return Device(DmaTransport(memory), f"{carrier}:{place}")
