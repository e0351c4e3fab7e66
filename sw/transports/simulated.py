"""The accelerator in simulation, as a transport that the driver talks through."""

import ctypes
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ...hw import verilog
from ...hw.config import Config
from ...hw.isa.registers import ADDRESS, CONTROL_RESET
from ...sim.engines import verilator, wave_view
from ...sim.engines.amaranth_simulator import AmaranthTransport
from ...sim.engines.packets import Inbox, Outbox, at_work, hang, longest_silence
from ..errors import DeviceError
from ..lib import cache as store
from ..lib import files

__all__ = ["AmaranthTransport", "External", "SimulatedTransport", "Stalls", "compiled"]

log = logging.getLogger(__name__)

SLICE = 50_000
"""Cycles that one call into the simulator runs: progress and Ctrl-C in between."""
EXTERNAL_PORT = "m_axi_arvalid"
"""What Verilog of a device with external memory has."""
ROOM = 1 << 14
"""Output beats that are taken from the simulator at once."""


@dataclass(frozen=True)
class Stalls:
    """Random pauses on the device's streams: probabilities that a cycle is one."""

    input: float = 0.0
    output: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class External:
    """How a simulated device's external memory behaves."""

    latency: int = 20
    """Cycles from a read's request to its first beat, and from a write's last one to its answer."""
    bandwidth: float = 1.0
    """Beats a cycle, reads and writes together; at most 1 each way."""
    stall: float = 0.0
    """Probability that a cycle is a pause, of each channel of its bus."""
    broken: range = range(0)
    """Byte addresses that answer with an error; nothing is written there."""


class _Exchange(ctypes.Structure):
    """`Exchange` of harness.cpp."""

    _fields_ = [
        ("input", ctypes.c_char_p),
        ("input_last", ctypes.c_char_p),
        ("input_beats", ctypes.c_uint64),
        ("sent", ctypes.c_uint64),
        ("output", ctypes.c_void_p),
        ("output_last", ctypes.c_void_p),
        ("output_beats", ctypes.c_uint64),
        ("received", ctypes.c_uint64),
        ("packets", ctypes.c_uint64),
        ("idle", ctypes.c_uint64),
        ("offered", ctypes.c_uint64),
    ]


class SimulatedTransport:
    """A device of `config` in Verilator, built at the first use of a configuration.

    `trace` names a waveform file, ``.fst`` or ``.vcd``; beside it a save file, ``.gtkw``, opens
    GTKWave on the signals that matter, unless there is one already. `stalls` disturbs both
    streams, for verification. `external` is how external memory behaves, if there is one. `text` is
    Verilog to simulate in place of what `hw` generates: a netlist, say; its top module is
    `hw.verilog.TOP`. `optimise` is for the C++ compiler: "-O0" builds large texts several times
    faster, to run slower. Raises `DeviceError` if the simulator cannot be built.
    """

    def __init__(
        self,
        config: Config,
        trace: str | Path | None = None,
        stalls: Stalls | None = None,
        text: str | None = None,
        optimise: str = "-O2",
        external: External | None = None,
    ):
        self.config = config
        self._handle = None
        self._process = os.getpid()
        kind = "" if trace is None else Path(trace).suffix
        if kind not in ("", ".fst", ".vcd"):
            raise DeviceError(f"a trace is an .fst or a .vcd file, not {str(trace)!r}")
        # Both first: conversion takes seconds, and a run hours, that would be in vain.
        verilator.find_compiler()
        self._trace = trace
        if trace is not None:
            try:
                with open(trace, "ab"):
                    pass
            except OSError as reason:
                raise DeviceError(f"cannot write the trace {trace}: {reason.strerror}") from None
        text = text or _verilog(config)
        self._library = load(compiled(text, kind, optimise))
        self.beat_bytes = self._library.heddle_beat_bytes()
        stalls = stalls or Stalls()
        path = None if trace is None else os.fsencode(trace)
        self._handle = self._library.heddle_create(path, stalls.seed, stalls.input, stalls.output)
        if not self._handle:
            raise DeviceError(f"cannot write the trace {str(trace)!r}")
        self.behave(external or External())
        if trace is not None:
            self._show(Path(trace), text)

    def _show(self, trace: Path, text: str):
        """Write the save file of `trace`, if none is there that a user may have made."""
        view = trace.with_suffix(".gtkw")
        if not view.exists():
            files.write(view, wave_view.save_file(text, verilog.TOP, trace))

    def behave(self, external: External) -> None:
        """Let external memory behave so from now on."""
        what = external.latency, external.bandwidth, external.stall
        broken = external.broken
        self._library.heddle_external(self._device, *what, broken.start, broken.stop)

    @property
    def cycles(self) -> int:
        """Clock cycles simulated so far."""
        return self._library.heddle_cycles(self._device)

    def read_register(self, address: int) -> int:
        """The 32-bit register at `address`. Raises `DeviceError` if there is no answer."""
        value = ctypes.c_uint32()
        if not self._library.heddle_read(self._device, address, ctypes.byref(value)):
            raise DeviceError(f"the simulated device did not answer a read of {address:#x}")
        return value.value

    def write_register(self, address: int, value: int):
        """Write the 32-bit register at `address`. Raises `DeviceError` if there is no answer."""
        if not self._library.heddle_write(self._device, address, value):
            raise DeviceError(f"the simulated device did not answer a write of {address:#x}")

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets and return their responses; see `transport.Transport`."""
        outbox = Outbox(packets, self.beat_bytes)
        inbox = Inbox(self.beat_bytes, on_response)
        output = np.empty(ROOM * self.beat_bytes, np.uint8)
        last = np.empty(ROOM, np.uint8)
        state = _Exchange(
            input=outbox.data,
            input_last=outbox.last,
            input_beats=outbox.beats,
            output=output.ctypes.data,
            output_last=last.ctypes.data,
            output_beats=ROOM,
            packets=len(packets),
        )
        limit, before = longest_silence(self.config), None
        while state.packets or state.sent < state.input_beats:
            self._library.heddle_exchange(self._device, ctypes.byref(state), SLICE)
            count = state.received
            inbox.add(output[: count * self.beat_bytes].tobytes(), last[:count])
            state.received = 0
            if state.idle > limit:
                if before == (before := [*map(self.read_register, at_work(self.config))]):
                    raise hang(self.config, len(inbox.packets), len(packets))
                state.idle = 0
        return inbox.packets

    def wait(self, cycles: int) -> None:
        """Let so many clock cycles pass in which nothing is sent and nothing is taken."""
        room = np.empty(self.beat_bytes + 1, np.uint8)
        state = _Exchange(
            output=room.ctypes.data,
            output_last=room[self.beat_bytes :].ctypes.data,
            output_beats=1,
            packets=1,
        )
        self._library.heddle_exchange(self._device, ctypes.byref(state), cycles)

    def recover(self) -> None:
        """Reset the device: the simulation itself stops only between cycles."""
        self.write_register(ADDRESS["control"], CONTROL_RESET)

    def close(self):
        """End the simulation and complete the trace. Closing again does nothing.

        Raises `DeviceError` if the trace could not be written whole.
        """
        handle, self._handle = self._handle, None
        if not handle or os.getpid() != self._process:  # of a copy, the trace is another's
            return
        if not self._library.heddle_destroy(handle):
            raise DeviceError(
                f"the trace {self._trace} is not complete: is its disk full? Make room, or trace "
                "a shorter run"
            )

    def __del__(self):
        self.close()

    @property
    def _device(self):
        if not self._handle:
            raise DeviceError("the simulated device is closed")
        return self._handle


def compiled(text: str, trace: str = "", optimise: str = "-O2") -> Path:
    """The shared library of the device in Verilog `text`, able to write `trace` files."""
    return verilator.build(
        verilator.Build(
            verilog=text,
            top=verilog.TOP,
            sources=(verilator.HERE / "harness.cpp",),
            output="libheddle.so",
            compile=(
                # Calls within the library go straight to what they call.
                "-fvisibility=hidden",
                # A pair read of words that were just written one by one waits for the memory.
                "-fno-tree-slp-vectorize",
                "-DVL_TIME_CONTEXT",
                f"-DHEDDLE_EXTERNAL={int(EXTERNAL_PORT in text)}",
            ),
            verilate={"": (), ".fst": ("--trace-fst",), ".vcd": ("--trace-vcd",)}[trace],
            optimise=optimise,
        )
    )


def _verilog(config: Config) -> str:
    """The accelerator's Verilog, converted again only when the gateware has changed."""
    name = f"{config.name}.v"

    def make(folder: Path):
        log.info("generating Verilog of %s", config.name)
        (folder / name).write_text(verilog.generate(config), encoding="utf-8")

    key = store.digest(store.sources("hw"), repr(config))
    return (store.cached(f"verilog-{config.name}", key, make) / name).read_text(encoding="utf-8")


@cache
def load(path: Path) -> ctypes.CDLL:
    """The library at `path` with its functions' types."""
    library = verilator.library(path)
    device, u64 = ctypes.c_void_p, ctypes.c_uint64
    signatures = {
        "heddle_create": (device, ctypes.c_char_p, u64, ctypes.c_double, ctypes.c_double),
        "heddle_destroy": (ctypes.c_bool, device),
        "heddle_cycles": (u64, device),
        "heddle_beat_bytes": (u64,),
        "heddle_external": (None, device, u64, ctypes.c_double, ctypes.c_double, u64, u64),
        "heddle_read": (
            ctypes.c_bool,
            device,
            ctypes.c_uint32,
            ctypes.POINTER(ctypes.c_uint32),
        ),
        "heddle_write": (ctypes.c_bool, device, ctypes.c_uint32, ctypes.c_uint32),
        "heddle_exchange": (None, device, ctypes.POINTER(_Exchange), u64),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
