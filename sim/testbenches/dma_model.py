"""A model of a device beside a memory: the DMA's registers, and the golden model behind them."""

import random

from ...hw.config import Config
from ...hw.isa.dma_registers import (
    ADDRESS,
    BASE,
    CONTROL_ABORT,
    CONTROL_READ,
    CONTROL_WRITE,
    MAGIC,
    REGISTERS,
    STATUS_FULL,
    STATUS_READ_FAILED,
    STATUS_READING,
    STATUS_WRITE_FAILED,
    VERSION,
)
from ...hw.isa.registers import Access
from ...sw.transports.dma import COUNT
from ..golden.device import ModelTransport

HELD = {r.name for r in REGISTERS if r.access is Access.READ_WRITE}


class DmaModel:
    """What a host sees of `hw.memory_top.MemoryAccelerator` and its memory (`dma.Memory`).

    Each look at the status lets a random number of beats pass, so a host meets every state in
    between. An access outside the memory fails as an interconnect would have it; `deaf` lets
    nothing pass.
    """

    name = "model"

    def __init__(self, config: Config, size: int = 1 << 16, base: int = 0x4_0000_0000, seed=0):
        self.base, self.size = base, size
        self._start = base
        self.deaf = False
        self.external_size = 0
        self.memory = bytearray(size)
        self._model = ModelTransport(config)
        self._beat = config.stream_bytes
        self._random = random.Random(seed)
        self._held = dict.fromkeys(HELD, 0)
        self._to_read: list[int] = []
        self._packet = bytearray()
        self._left = 0
        self._responses: list[tuple[bytes, bool]] = []
        """Beats on their way to memory, and whether a packet ends with one."""
        self._at = self._room = self._written = self._packets = self._failed = 0

    def read_register(self, address: int) -> int:
        if address < BASE:
            return self._model.read_register(address)
        self._pass(self._random.randrange(40))
        reading = STATUS_READING if self._to_read else 0
        full = 0 if self._room else STATUS_FULL
        values = self._held | {
            "magic": MAGIC,
            "version": VERSION,
            "beat_bytes": self._beat,
            "status": reading | full | self._failed,
            "written": self._written,
            "packets": self._packets,
        }
        return {ADDRESS[name]: value for name, value in values.items()}.get(address, 0)

    def write_register(self, address: int, value: int) -> None:
        if address < BASE:
            self._model.write_register(address, value)
        for name in HELD:
            if address == ADDRESS[name]:
                self._held[name] = value
        if address == ADDRESS["control"]:
            self._control(value)

    def write(self, offset: int, data: bytes) -> None:
        assert offset >= 0 and offset + len(data) <= self.size
        self.memory[offset : offset + len(data)] = data

    def read(self, offset: int, size: int) -> bytes:
        assert offset >= 0 and offset + size <= self.size
        return bytes(self.memory[offset : offset + size])

    def external(self, size: int) -> int:
        """Beside the memory that is modelled: the golden model holds its bytes."""
        self.external_size = size
        return self.base + (1 << 32)

    def close(self) -> None:
        pass

    def _control(self, value: int) -> None:
        if value & CONTROL_ABORT:
            self._to_read, self._responses, self._packet, self._left = [], [], bytearray(), 0
            self._room = self._packets = self._failed = 0
        if value & CONTROL_READ:
            first = self._address("source")
            count = self._held["source_beats"]
            self._to_read = [first + i * self._beat for i in range(count)]
        if value & CONTROL_WRITE:
            self._at, self._room = self._address("target"), self._held["target_beats"]
            self._written = 0

    def _address(self, name: str) -> int:
        return self._held[f"{name}_low"] | self._held[f"{name}_high"] << 32

    def _pass(self, beats: int) -> None:
        """Let so many beats pass, each way."""
        if self.deaf:
            return
        for _ in range(beats):
            if self._to_read:
                self._take(self._to_read.pop(0) - self._start)
            if self._responses and self._room:
                self._give(*self._responses.pop(0))

    def _take(self, offset: int) -> None:
        if not 0 <= offset <= self.size - self._beat:
            self._failed |= STATUS_READ_FAILED
            self._to_read = []
            return
        data = self.memory[offset : offset + self._beat]
        if self._left == 0:
            self._left = COUNT.unpack_from(data)[0]
            return
        self._packet += data
        self._left -= 1
        if self._left == 0:
            (answer,) = self._model.exchange([bytes(self._packet)])
            self._packet.clear()
            beats = [answer[i : i + self._beat] for i in range(0, len(answer), self._beat)]
            self._responses += [(beat, False) for beat in beats]
            self._responses.append((COUNT.pack(len(beats)).ljust(self._beat, b"\0"), True))

    def _give(self, data: bytes, ends: bool) -> None:
        offset = self._at - self._start
        if not 0 <= offset <= self.size - self._beat:
            self._failed |= STATUS_WRITE_FAILED
            self._room = 0
            return
        self.memory[offset : offset + self._beat] = data
        self._at += self._beat
        self._room -= 1
        self._written += 1
        self._packets += ends
