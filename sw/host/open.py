"""Open a device by its name: simulated, modelled, or on a board; the same script runs on all."""

import logging
import os
from pathlib import Path

from ...hw.config import Config, preset
from ..errors import DeviceError
from .device import Device

log = logging.getLogger(__name__)

KINDS = {
    "sim": "the generated Verilog in Verilator",
    "amaranth": "in Amaranth's simulator, slow",
    "model": "the golden model, without time",
}
"""Devices that need no board, and what they are."""
MEMORIES = ("xdma", "pynq")
"""Boards beside a memory: what stands before the colon."""


def open_device(
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
    # The longest request, every byte of it escaped, takes so long before its answer can begin.
    patient = {"timeout": TIMEOUT + seconds(2 * STORE_BYTES, rate)}
    return Device(LinkTransport(SerialPort(path, rate), **patient | link), path)


def _open_memory(carrier: str, place: str) -> Device:
    from ..transports.dma import DmaTransport
    from ..transports.memories import XDMA, PynqMemory, XdmaMemory

    memory = XdmaMemory(place or XDMA) if carrier == "xdma" else PynqMemory(place)
    return Device(DmaTransport(memory), f"{carrier}:{place}")
