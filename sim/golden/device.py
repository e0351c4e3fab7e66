"""The golden model behind the device's own commands: what every response must be, bit for bit.

It interprets packets as `hw/isa/commands.py` defines them, with the golden model's arithmetic, one
command after another. It is the scoreboard of the whole chip, and a device to test the driver
against without a simulator. Time is not modelled: `cycles` counts issued slots.
"""

from collections.abc import Callable, Sequence

from ...hw.isa.codes import Status
from ...hw.isa.commands import WITH_PAYLOAD, Response, Side
from ...hw.isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    constants,
    kept,
)
from .array import COUNTED
from .commands import CommandModel


class ModelTransport(CommandModel):
    """A device of `config` as a transport for the driver (`transport.Transport`); some bytes of its
    external memory may answer COPYs with errors."""

    def read_register(self, address: int) -> int:
        values = constants(self.config) | {"flags": self._flags}
        for name, count in self._counters.items():
            if name not in kept(self.config):
                continue
            values |= {name: count & 0xFFFFFFFF, f"{name}_high": count >> 32}
        by_address = {ADDRESS[name]: v for name, v in values.items() if name in ADDRESS}
        return by_address.get(address, 0)

    def write_register(self, address: int, value: int) -> None:
        if address != ADDRESS["control"]:
            return
        if value & CONTROL_CLEAR_COUNTERS:
            self._counters = dict.fromkeys(COUNTED, 0)
        if value & CONTROL_CLEAR_FLAGS:
            self._flags = 0
        if value & CONTROL_RESET:
            self._sums = self._zeros()
            self._image, self._side = None, Side()
            self._forget()

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        answers = []
        for packet in packets:
            packet = packet + bytes(-len(packet) % self.config.stream_bytes)
            answers.append(self._answer(packet))
            if on_response:
                on_response(len(answers))
        return answers

    @property
    def beat_bytes(self) -> int:
        return self.config.stream_bytes

    def state(self) -> tuple[bytes, dict[int, bytes], int]:
        """What is in tensor memory and in pages of external memory, and the flags."""
        return self._memory.tobytes(), self._external.content(), self._flags

    def recover(self) -> None:
        self.write_register(ADDRESS["control"], CONTROL_RESET)

    def close(self) -> None:
        pass

    def _answer(self, packet: bytes) -> bytes:
        header_bytes = self.config.header_beats * self.config.stream_bytes
        opcode = tag = rows = 0
        body, status = b"", Status.OK
        while packet and status == Status.OK:
            header, packet = packet[:header_bytes], packet[header_bytes:]
            if len(header) < header_bytes:
                opcode, tag, status = 0, 0, Status.BAD_LENGTH
                break
            opcode, tag = header[:2]
            status, rows, body = self._execute(header, packet)
            if opcode in WITH_PAYLOAD:
                break
        self._counters["commands"] += 1
        self._counters["errors"] += status != Status.OK
        head = Response(opcode, tag, status, rows, self._flags).encode()
        return head.ljust(header_bytes, b"\0") + body
