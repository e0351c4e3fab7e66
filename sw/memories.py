"""Memories that a host shares with a device's DMA: by PCI Express, and on a Zynq's own chip."""

import errno
import os
from pathlib import Path

from .errors import DeviceError

NODES = Path("/dev")
XDMA = "/dev/xdma0"
"""The first card, as AMD's XDMA driver names it."""
XDMA_SIZE = 1 << 20
"""Bytes of the card's memory that the project of `heddle bitstream` connects, at address 0."""
PYNQ_SIZE = 1 << 22
"""Bytes that are asked of the Zynq's memory."""
PYNQ_BLOCK = "heddle"
"""The accelerator's name in the block design."""


def cards() -> list[str]:
    """The paths of the cards that AMD's XDMA driver has found, as `XdmaMemory` takes them."""
    return sorted(str(node).removesuffix("_user") for node in NODES.glob("xdma*_user"))


class XdmaMemory:
    """A card's memory through AMD's XDMA driver (`sw.dma.Memory`).

    The driver's character devices: ``<path>_h2c_0`` and ``<path>_c2h_0`` reach memory at the file's
    offset, ``<path>_user`` the registers. Source: AMD PG195. The card is this process' alone until
    it is closed. Raises `DeviceError` if one of them cannot be had.
    """

    def __init__(self, path: str = XDMA, base: int = 0, size: int = XDMA_SIZE):
        self.name, self.base, self.size = path, base, size
        self._files: list[int] = []
        try:
            self._user = self._open("user", os.O_RDWR)
            self._lock()
            self._down = self._open("h2c_0", os.O_WRONLY)
            self._up = self._open("c2h_0", os.O_RDONLY)
        except BaseException:
            self.close()
            raise

    def read_register(self, address: int) -> int:
        return int.from_bytes(self._all(self._user, address, 4), "little")

    def write_register(self, address: int, value: int) -> None:
        self._put(self._user, address, value.to_bytes(4, "little"))

    def write(self, offset: int, data: bytes) -> None:
        self._put(self._down, self.base + offset, data)

    def read(self, offset: int, size: int) -> bytes:
        return self._all(self._up, self.base + offset, size)

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

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
        import fcntl  # not on Windows, where there is no node to lock either

        try:
            fcntl.flock(self._user, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as reason:
            raise _explain(f"{self.name}_user", reason) from None

    def _all(self, file: int, at: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._guarded(os.pread, file, size - len(data), at + len(data))
            if not part:
                raise DeviceError(f"{self.name} gave {len(data)} of {size} bytes at {at:#x}")
            data += part
        return data

    def _put(self, file: int, at: int, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            sent += self._guarded(os.pwrite, file, data[sent:], at + sent)

    def _guarded(self, call, *arguments):
        try:
            return call(*arguments)
        except OSError as reason:
            raise DeviceError(
                f"the card at {self.name} does not answer ({reason}): load its bitstream, then "
                "restart the computer or rescan the PCI bus"
            ) from None


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
    """Memory and registers of a Zynq board that runs PYNQ (`sw.dma.Memory`).

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
        # Only now are the registers mapped.
        self._registers = self._guarded(getattr, overlay, PYNQ_BLOCK, None)
        if self._registers is None:
            raise DeviceError(
                f"{bitfile} holds no block {PYNQ_BLOCK!r}: make it from the project that "
                "heddle bitstream --board pynq-z2 writes"
            )
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

    def close(self) -> None:
        self._buffer.freebuffer()

    def _guarded(self, call, *arguments, **options):
        try:
            return call(*arguments, **options)
        except Exception as reason:  # PYNQ does not say which ones it raises
            raise DeviceError(
                f"PYNQ cannot load and use {self.name} ({type(reason).__name__}: {reason}): run "
                "heddle as root, with the .bit and the .hwh of one build beside each other"
            ) from reason
