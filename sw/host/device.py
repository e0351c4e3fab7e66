"""A device, whatever carries its bytes: it describes itself, multiplies, and counts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ...hw.config import Accumulation, Config
from ...hw.isa.codes import Flag
from ...hw.isa.engine_counters import engine_counters
from ...hw.isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    FIRST,
    MAGIC,
    REGISTERS,
    VERSION,
    Access,
    config_from,
    constants,
)
from ..errors import DeviceError
from ..transports.guarded import GuardedTransport
from ..transports.transport import Transport
from . import memory
from .driver import matmul

COUNTERS = tuple(
    r.name
    for r in FIRST
    if r.access is Access.READ and r.name not in ("status", "flags") and r.name[-5:] != "_high"
)


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
        """What the device counts of products and commands, by the registers' names."""
        return {name: self.read(name) for name in COUNTERS}

    def engine_counters(self) -> dict[str, int]:
        """What it counts of its engines (`hw.isa.engine_counters`); none without tensor memory."""
        return {name: self.read(name) for name in engine_counters(self.config)}

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

    def write_memory(
        self,
        address: int,
        data,
        on_progress: Callable[[float], None] | None = None,
        external: bool = False,
    ) -> None:
        """Fill tensor memory, or `external` memory, from word `address` on: see
        `sw.host.memory.write`."""
        memory.write(self, address, data, on_progress, external)

    def read_memory(
        self,
        address: int,
        count: int,
        on_progress: Callable[[float], None] | None = None,
        external: bool = False,
    ) -> np.ndarray:
        """`count` words of tensor memory, or of `external` memory, from `address` on: see
        `sw.host.memory.read`."""
        return memory.read(self, address, count, on_progress, external)

    def matmul(self, x, weights, **options):
        """``x @ weights`` on this device: see `sw.host.driver.matmul`."""
        return matmul(self, x, weights, **options)


def _impossible(what: str) -> DeviceError:
    return DeviceError(
        f"the device describes itself as what no device can be ({what}): the line may be bad, or "
        "the bitstream damaged or of another release; load a bitstream of this release"
    )
