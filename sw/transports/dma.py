"""A device beside a memory, through the DMA of its own (`hw/bus/dma.py`).

What reaches the memory and the registers differs (PCI Express, a processor on the same chip, a
model); it is a `Memory`. The transport over it is one.
"""

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ...hw.config import BEAT_BYTES
from ...hw.isa.dma_registers import (
    ADDRESS,
    ADDRESS_BITS,
    CONTROL_ABORT,
    CONTROL_READ,
    CONTROL_WRITE,
    MAGIC,
    STATUS_FULL,
    STATUS_READ_FAILED,
    STATUS_READING,
    STATUS_WRITE_FAILED,
    VERSION,
)
from ...hw.isa.host_stream import response_limit
from ...hw.isa.registers import ADDRESS as ACCELERATOR
from ...hw.isa.registers import CONTROL_RESET
from ..errors import DeviceError

COUNT = struct.Struct("<I")
TIMEOUT = 10.0
"""Seconds without a beat in either direction after which the device is taken to hang."""
PAUSE = 0.001
"""Seconds between two looks at a device that has nothing new."""


class Memory(Protocol):
    """Registers, and the memory that the DMA and the host share."""

    name: str
    base: int
    """The address of its first byte, as the DMA sees it."""
    size: int
    """Bytes."""

    def read_register(self, address: int) -> int: ...

    def write_register(self, address: int, value: int) -> None: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def read(self, offset: int, size: int) -> bytes: ...

    def external(self, size: int) -> int:
        """The address, on 4 KiB and as the device sees it, of `size` bytes that are the device's
        alone: its external memory. Raises `DeviceError` if there are not as many."""
        ...

    def close(self) -> None: ...


class DmaTransport:
    """A device beside a memory (`transport.Transport`).

    The first half of the memory holds commands, the second responses. Raises `DeviceError` if
    there is no DMA, or one of another version.
    """

    def __init__(self, memory: Memory, timeout: float = TIMEOUT):
        self.memory = memory
        self.timeout = timeout
        try:
            magic, version = self._get("magic"), self._get("version")
            if magic != MAGIC:
                raise DeviceError(
                    f"what answers at {memory.name} is no Heddle device (its DMA's first register "
                    f"is {magic:#010x}, not {MAGIC:#010x}): is the bitstream loaded?"
                )
            if version != VERSION:
                raise DeviceError(
                    f"the DMA at {memory.name} is version {version}, this driver's {VERSION}: load "
                    "a bitstream of this release, or install the release that made the bitstream"
                )
            if memory.base + memory.size > 1 << ADDRESS_BITS:
                raise DeviceError(
                    f"the memory at {memory.name} ends at {memory.base + memory.size:#x}, beyond "
                    f"the {ADDRESS_BITS} bits of the device's addresses: connect it further below"
                )
            self.beat_bytes = self._get("beat_bytes")
            if self.beat_bytes not in BEAT_BYTES:
                raise DeviceError(
                    f"the DMA at {memory.name} tells of beats of {self.beat_bytes} bytes, which no "
                    "device has: load the bitstream again"
                )
            self._half = memory.size // 2 // self.beat_bytes * self.beat_bytes
            self.recover()
            if bits := self.read_register(ACCELERATOR["external_bits"]):
                self._set_long("external", memory.external(1 << bits))
        except BaseException:
            memory.close()
            raise

    def read_register(self, address: int) -> int:
        return self.memory.read_register(address)

    def write_register(self, address: int, value: int) -> None:
        if address == ACCELERATOR["control"] and value & CONTROL_RESET:
            # What is on its way to or from the accelerator belongs to the time before.
            self._set("control", CONTROL_ABORT)
            self._wait_until_idle()
        self.memory.write_register(address, value)

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        """Send command packets and return their responses; see `transport.Transport`."""
        batches = self._batches(packets)
        # A packet ends in memory with a beat that counts its others.
        most = sum(response_limit(packet, self.beat_bytes) + self.beat_bytes for packet in packets)
        before = self._get("packets")
        written = b""
        self._open_room()
        seen, since = None, time.monotonic()
        while True:
            status, beats = self._get("status"), self._get("written")
            done = (self._get("packets") - before) & 0xFFFFFFFF
            self._check(status)
            if done > len(packets) or len(written) + beats * self.beat_bytes > most:
                raise self._nonsense()
            if not status & STATUS_READING and (batch := next(batches, None)):
                self._send(batch)
            if on_response and seen is not None and done != seen[1]:
                on_response(done)
            if done == len(packets):
                # The last beat was acknowledged with its packet, so everything has been written.
                responses = apart(written + self._written(self._get("written")), self.beat_bytes)
                if len(responses) != len(packets):
                    raise self._nonsense()
                return responses
            if status & STATUS_FULL:
                written += self._written(beats)
                self._set("control", CONTROL_WRITE)
            if seen == (beats, done, status):
                if time.monotonic() - since > self.timeout:
                    raise DeviceError(
                        f"the device at {self.memory.name} stopped after {done} of {len(packets)} "
                        "responses: reset it and run again; if it happens again, load the "
                        "bitstream again"
                    )
                time.sleep(PAUSE)
            else:
                seen, since = (beats, done, status), time.monotonic()

    def recover(self) -> None:
        self.write_register(ACCELERATOR["control"], CONTROL_RESET)

    def close(self) -> None:
        self.memory.close()

    def _batches(self, packets: Sequence[bytes]) -> Iterator[bytes]:
        """The packets as they lie in memory, as many at a time as there is room for."""
        batch = bytearray()
        for packet in packets:
            data = buffer([packet], self.beat_bytes)
            if len(data) > self._half:
                raise DeviceError(
                    f"a command of {len(data):,} bytes does not fit into the {self._half:,} bytes "
                    f"for commands at {self.memory.name}: give it a larger memory"
                )
            if len(batch) + len(data) > self._half:
                yield bytes(batch)
                batch.clear()
            batch += data
        if batch:
            yield bytes(batch)

    def _send(self, batch: bytes) -> None:
        self.memory.write(0, batch)
        self._set_long("source", self.memory.base)
        self._set("source_beats", len(batch) // self.beat_bytes)
        self._set("control", CONTROL_READ)

    def _open_room(self) -> None:
        self._set_long("target", self.memory.base + self._half)
        self._set("target_beats", self._half // self.beat_bytes)
        self._set("control", CONTROL_WRITE)

    def _written(self, beats: int) -> bytes:
        return self.memory.read(self._half, beats * self.beat_bytes)

    def _wait_until_idle(self) -> None:
        """Let the bursts end that are under way."""
        end = time.monotonic() + self.timeout
        while self._get("status") & (STATUS_READING | STATUS_FULL) != STATUS_FULL:
            if time.monotonic() > end:
                raise DeviceError(
                    f"the memory at {self.memory.name} does not answer the device's DMA: is it "
                    "connected to its AXI port? Load the bitstream again"
                )
            time.sleep(PAUSE)

    def _check(self, status: int) -> None:
        for bit, what in ((STATUS_READ_FAILED, "read from"), (STATUS_WRITE_FAILED, "write to")):
            if status & bit:
                raise DeviceError(
                    f"the device at {self.memory.name} could not {what} its memory: is the memory "
                    f"at {self.memory.base:#x} to {self.memory.base + self.memory.size:#x} "
                    "connected to its AXI port?"
                )

    def _nonsense(self) -> DeviceError:
        return DeviceError(
            f"the device at {self.memory.name} answers nonsense, not one response to each command; "
            "reset it and run again"
        )

    def _get(self, name: str) -> int:
        return self.memory.read_register(ADDRESS[name])

    def _set(self, name: str, value: int) -> None:
        self.memory.write_register(ADDRESS[name], value)

    def _set_long(self, name: str, value: int) -> None:
        self._set(f"{name}_low", value & 0xFFFFFFFF)
        self._set(f"{name}_high", value >> 32)


def buffer(packets: Sequence[bytes], beat: int) -> bytes:
    """Packets as the DMA reads them from memory, in beats of `beat` bytes."""
    parts = []
    for packet in packets:
        beats = -(-len(packet) // beat)
        parts += [COUNT.pack(beats).ljust(beat, b"\0"), packet.ljust(beats * beat, b"\0")]
    return b"".join(parts)


def apart(written: bytes, beat: int) -> list[bytes]:
    """The packets that the DMA has written. Raises `DeviceError` if they do not add up."""
    packets = []
    end = len(written)
    while end > 0:
        end -= beat
        size = COUNT.unpack_from(written, end)[0] * beat
        if size > end:
            raise DeviceError("the responses in memory are damaged: reset the device and run again")
        packets.append(written[end - size : end])
        end -= size
    return packets[::-1]
