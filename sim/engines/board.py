"""A board in simulation: `hw.serial_top` in Verilator, its serial pins driven bit by bit."""

import ctypes
import time
from functools import cache
from pathlib import Path

from ...hw import verilog
from ...hw.config import Config
from ...hw.lib.library import Library
from ...hw.serial_top import SerialAccelerator
from ...sw.errors import DeviceError
from ...sw.lib import cache as store
from . import verilator

DIVISOR = 4
"""Clock cycles of a bit: few, to be quick."""
SLICE = 2_000
"""Cycles that one call into the simulator runs."""
ROOM = 1 << 12


class Board:
    """The pins of a board of `config`, as bytes.

    `text` is Verilog to run in place of what is generated: a module `verilog.TOP` with the same
    ports and bits of `DIVISOR` cycles.
    """

    def __init__(self, config: Config, text: str | None = None):
        self._library = _load(_compiled(text or _generated(config), "-O0" if text else "-O2"))
        self._handle = self._library.board_create(DIVISOR)
        self._output = ctypes.create_string_buffer(ROOM)

    def run(self, data: bytes, cycles: int = SLICE) -> tuple[int, bytes]:
        """Run the clock with `data` going in; returns how much went in, and what came out."""
        taken = ctypes.c_uint64()
        count = self._library.board_run(
            self._handle, data, len(data), ctypes.byref(taken), self._output, ROOM, cycles
        )
        return taken.value, self._output.raw[:count]

    @property
    def cycles(self) -> int:
        return self._library.board_cycles(self._handle)

    @property
    def leds(self) -> tuple[bool, bool]:
        """(busy, error)."""
        value = self._library.board_leds(self._handle)
        return bool(value & 1), bool(value & 2)

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle:
            self._library.board_destroy(handle)


class BoardPort:
    """A board's line as a byte port (`sw.transports.serial_link.Port`), without a pseudo-terminal.

    Time is the board's: `read` gives up after `TIMEOUT` cycles without a byte.
    """

    TIMEOUT = 6_000

    def __init__(self, config: Config, text: str | None = None):
        self.name = f"a simulated board ({config.name})"
        self.board = Board(config, text)
        self._out = b""

    def write(self, data: bytes) -> None:
        while data:
            # No longer than the bytes take (start, 8 and stop bit each): most of a run is waiting.
            taken, out = self.board.run(data, 10 * DIVISOR * len(data))
            data = data[taken:]
            self._out += out

    def read(self, timeout: float) -> bytes:
        waited = 0
        while not self._out and waited < self.TIMEOUT:
            _, self._out = self.board.run(b"", 500)
            waited += 500
        out, self._out = self._out, b""
        return out

    def close(self) -> None:
        self.board.close()


def serve(config: Config, announce, stop=lambda: False) -> None:
    """Connect a board to a pseudo-terminal until `stop()`; `announce` is given its path.

    Raises `DeviceError` where there are none.
    """
    import os
    import select

    try:
        import tty
    except ImportError:
        raise DeviceError("there are no pseudo-terminals on Windows: use the device sim") from None

    master, slave = os.openpty()
    tty.setraw(slave)
    board = Board(config)
    try:
        announce(os.ttyname(slave))
        data, quiet = b"", 0
        while not stop():
            # A board that has nothing to do need not be simulated.
            busy = data or quiet < 200
            if select.select([master], [], [], 0 if busy else 0.05)[0]:
                data += os.read(master, 4096)
            elif not busy:
                time.sleep(0)
                continue
            taken, out = board.run(data)
            quiet = 0 if taken or out or board.leds[0] else quiet + 1
            data = data[taken:]
            while out:
                out = out[os.write(master, out) :]
    finally:
        board.close()
        os.close(slave)
        os.close(master)


def _generated(config: Config) -> str:
    """Verilog of the board. Raises `DeviceError` at once if it could not be compiled."""
    verilator.find_compiler()

    def make(folder: Path):
        library = Library()
        top = SerialAccelerator(config, DIVISOR * 1e6, 1_000_000, library)
        text = verilog.convert(top, verilog.TOP, library)
        (folder / "board.v").write_text(text, encoding="utf-8")

    key = store.digest(store.sources("hw"), repr(config), str(DIVISOR))
    return (store.cached(f"board-{config.name}", key, make) / "board.v").read_text(encoding="utf-8")


def _compiled(text: str, optimise: str) -> Path:
    return verilator.build(
        verilator.Build(
            verilog=text,
            top=verilog.TOP,
            sources=(verilator.HERE / "board.cpp",),
            output="libboard.so",
            compile=("-DVL_TIME_CONTEXT",),
            optimise=optimise,
        )
    )


@cache
def _load(path: Path) -> ctypes.CDLL:
    library = verilator.library(path)
    board, u64 = ctypes.c_void_p, ctypes.c_uint64
    for name, result, arguments in (
        ("board_create", board, [ctypes.c_int]),
        ("board_destroy", None, [board]),
        ("board_cycles", u64, [board]),
        ("board_leds", ctypes.c_int, [board]),
        (
            "board_run",
            u64,
            [board, ctypes.c_char_p, u64, ctypes.POINTER(u64), ctypes.c_char_p, u64, u64],
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
