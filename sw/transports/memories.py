"""Memories that a host shares with a device's DMA: by PCI Express, and on a Zynq's own chip."""

import errno
import io
import mmap
import os
import re
from pathlib import Path

from ..errors import DeviceError
from ..lib.locks import lock

NODES = Path("/dev")
XDMA = "/dev/xdma0"
"""The first card, as AMD's XDMA driver names it."""
XDMA_SIZE = 1 << 20
"""Bytes of the card's memory that the project of `heddle bitstream` connects, at address 0."""
XDMA_EXTERNAL, XDMA_EXTERNAL_SIZE = 1 << 34, 1 << 34
"""Where the card's DRAM begins there, and its bytes."""
STAGE = 1 << 20
"""Most bytes of one transfer to or from a card."""
PYNQ_SIZE = 1 << 22
"""Bytes that are asked of the Zynq's memory."""
PYNQ_BLOCK = "heddle"
"""The accelerator's name in the block design."""
PYNQ_CLOCK = re.compile(r'NAME="PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ"\s+VALUE="([\d.]+)"')
"""Where a .hwh tells the clock, in MHz, that the design was timed for."""


def cards() -> list[str]:
    """The paths of the cards that AMD's XDMA driver has found, as `XdmaMemory` takes them."""
    return sorted(str(node).removesuffix("_user") for node in NODES.glob("xdma*_user"))


class XdmaMemory:
    """A card's memory through AMD's XDMA driver (`sw.transports.dma.Memory`).

    The driver's character devices: ``<path>_h2c_0`` and ``<path>_c2h_0`` reach memory at the file's
    offset, ``<path>_user`` the registers. Source: AMD PG195. The card is this process' alone until
    it is closed. Raises `DeviceError` if one of them cannot be had.

    The driver hands the caller's own pages to the card. Its engines may ask that an address on the
    host equals the one on the card modulo their alignment, at most a page, and the driver wants to
    write to the pages whatever the direction: so all goes through a stage, pages of our own.
    """

    def __init__(self, path: str = XDMA, base: int = 0, size: int = XDMA_SIZE):
        self.name, self.base, self.size = path, base, size
        self._files: list[int] = []
        self._stage = mmap.mmap(-1, STAGE + mmap.PAGESIZE)
        try:
            self._user = self._open("user", os.O_RDWR)
            self._lock()
            self._down = self._open("h2c_0", os.O_WRONLY)
            self._up = self._open("c2h_0", os.O_RDONLY)
        except BaseException:
            self.close()
            raise

    def read_register(self, address: int) -> int:
        data = self._guarded(os.pread, self._user, 4, address)
        if len(data) != 4:
            raise self._short(len(data), 4, address)
        return int.from_bytes(data, "little")

    def write_register(self, address: int, value: int) -> None:
        self._guarded(os.pwrite, self._user, value.to_bytes(4, "little"), address)

    def write(self, offset: int, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            at = self.base + offset + sent
            with self._staged(at, len(data) - sent) as stage:
                stage[:] = data[sent : sent + len(stage)]
                sent += self._guarded(os.pwrite, self._down, stage, at)

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            at = self.base + offset + len(data)
            with self._staged(at, size - len(data)) as stage:
                count = self._guarded(_read_into, self._up, stage, at)
                if not count:
                    raise self._short(len(data), size, self.base + offset)
                data += stage[:count]
        return bytes(data)

    def external(self, size: int) -> int:
        if size > XDMA_EXTERNAL_SIZE:
            raise DeviceError(
                f"the device at {self.name} has {size:,} bytes of external memory, the card "
                f"{XDMA_EXTERNAL_SIZE:,}: build one with fewer external_bits"
            )
        return XDMA_EXTERNAL

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())
        self._stage.close()

    def _open(self, part: str, mode: int) -> int:
        path = f"{self.name}_{part}"
        try:
            file = os.open(path, mode)
        except OSError as reason:
            raise _explain(path, reason) from None
        self._files.append(file)
        return file

    def _lock(self) -> None:
        """Who opens a device resets it, so another program's must not be opened."""
        try:
            lock(self._user, wait=False)
        except OSError as reason:
            raise _explain(f"{self.name}_user", reason) from None

    def _staged(self, at: int, size: int) -> memoryview:
        """Room in the stage for up to `size` bytes, at the place in a page that `at` has."""
        first = at % mmap.PAGESIZE
        return memoryview(self._stage)[first : first + min(size, STAGE)]

    def _short(self, count: int, size: int, at: int) -> DeviceError:
        return DeviceError(f"{self.name} gave {count} of {size} bytes at {at:#x}")

    def _guarded(self, call, *arguments):
        try:
            return call(*arguments)
        except OSError as reason:
            raise DeviceError(
                f"the card at {self.name} does not answer ({reason}): load its bitstream, then "
                "restart the computer or rescan the PCI bus"
            ) from None


def _read_into(file: int, stage: memoryview, at: int) -> int:
    """Read from `at` into `stage`: by read(2), since the driver's vectored reads are for
    asynchronous transfers only."""
    os.lseek(file, at, os.SEEK_SET)
    with io.FileIO(file, closefd=False) as node:
        return node.readinto(stage) or 0


def _explain(path: str, reason: OSError) -> DeviceError:
    if reason.errno == errno.EACCES:
        return DeviceError(
            f"no right to use {path}: run as root, or install a udev rule for AMD's XDMA driver"
        )
    if reason.errno in (errno.EAGAIN, errno.EBUSY):
        return DeviceError(
            f"{path} is in use: close the other program (another heddle, say); "
            f"fuser {path} names it"
        )
    if reason.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return DeviceError(
            f"there is no {path}: is the card's bitstream loaded, and AMD's XDMA driver "
            "(modprobe xdma)?"
        )
    return DeviceError(f"cannot open {path}: {reason}")


class PynqMemory:
    """Memory and registers of a Zynq board that runs PYNQ (`sw.transports.dma.Memory`).

    Loads `bitfile` and asks for `size` bytes that the DMA can reach. Raises `DeviceError` if the
    package `pynq` is missing or fails, if there is no bitstream or no .hwh beside it, or if it
    holds no block called `PYNQ_BLOCK`.
    """

    def __init__(self, bitfile: str, size: int = PYNQ_SIZE):
        self.name, self.size = bitfile, size
        try:
            import pynq  # type: ignore[import-not-found]
        except ImportError:
            raise DeviceError(
                "the package pynq is missing: it comes with the board's PYNQ image; run heddle "
                "there, as root"
            ) from None
        if not Path(bitfile).is_file():
            raise DeviceError(f"there is no bitstream {bitfile}")
        handoff = Path(bitfile).with_suffix(".hwh")
        if not handoff.is_file():
            raise DeviceError(
                f"there is no {handoff}, which tells PYNQ what {bitfile} holds: copy it there, "
                "beside the bitstream that it was made with"
            )
        overlay = self._guarded(pynq.Overlay, bitfile)
        self._guarded(self._limit_clock, handoff)
        # Only now are the registers mapped.
        self._registers = self._guarded(getattr, overlay, PYNQ_BLOCK, None)
        if self._registers is None:
            raise DeviceError(
                f"{bitfile} holds no block {PYNQ_BLOCK!r}: make it from the project that "
                "heddle bitstream --board pynq-z2 writes"
            )
        self._allocate, self._external = pynq.allocate, None
        self._buffer = self._guarded(pynq.allocate, shape=(size,), dtype="u1")
        self.base = self._buffer.physical_address

    def read_register(self, address: int) -> int:
        return int(self._registers.read(address))

    def write_register(self, address: int, value: int) -> None:
        self._registers.write(address, value)

    def write(self, offset: int, data: bytes) -> None:
        self._buffer[offset : offset + len(data)] = bytearray(data)
        self._buffer.flush()

    def read(self, offset: int, size: int) -> bytes:
        self._buffer.invalidate()
        return self._buffer[offset : offset + size].tobytes()

    def external(self, size: int) -> int:
        # The allocator gives whole pages of the processor's, which has 4 KiB too.
        if self._external is None:
            self._external = self._guarded(self._allocate, shape=(size,), dtype="u1")
        return self._external.physical_address

    def close(self) -> None:
        if self._external is not None:
            self._external.freebuffer()
        self._buffer.freebuffer()

    def _limit_clock(self, handoff: Path) -> None:
        """Let the design run no faster than it was timed for.

        PYNQ sets the dividers that the .hwh names, and the board's PLL may be faster than the one
        that they were chosen for. Asked for a frequency, it sets the nearest one there is.
        """
        from pynq.ps import Clocks  # type: ignore[import-not-found]

        told = PYNQ_CLOCK.search(handoff.read_text(encoding="utf-8", errors="replace"))
        if told is None:
            raise DeviceError(
                f"{handoff} does not tell the clock of {self.name}: copy the one that was made "
                "with it there"
            )
        timed = float(told[1])
        slower = iter(range(100, 50, -1))
        while Clocks.fclk0_mhz > timed * 1.0001:
            share = next(slower, None)
            if share is None:
                raise DeviceError(
                    f"{self.name} was timed for {timed:g} MHz, and the board's clock stays at "
                    f"{Clocks.fclk0_mhz:g} MHz: power the board off and on, then try again"
                )
            Clocks.fclk0_mhz = timed * share / 100

    def _guarded(self, call, *arguments, **options):
        try:
            return call(*arguments, **options)
        except DeviceError:
            raise
        except Exception as reason:  # PYNQ does not say which ones it raises
            raise DeviceError(
                f"PYNQ cannot load and use {self.name} ({type(reason).__name__}: {reason}): run "
                "heddle as root, with the .bit and the .hwh of one build beside each other"
            ) from reason
