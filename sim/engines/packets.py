"""Packets to beats and back, as all simulated devices do it."""

from collections.abc import Callable, Sequence

import numpy as np

from ...hw.config import Config
from ...hw.isa.registers import ADDRESS
from ...sw.errors import DeviceError


def longest_silence(config: Config) -> int:
    """Cycles without a beat on either stream after which the device is taken to hang, if none of
    the registers that tell whether it is `at_work` has changed either.

    No tile works longer than on a full schedule of dense groups; the rest is for latencies.
    """
    return 4 * config.schedule_records * config.group * config.interleave + 20_000


def at_work(config: Config) -> list[int]:
    """Addresses of the registers that count while a silent device works: RUNs that store are
    answered before they are done, and many may be waited for; so may a long VECTOR or PRUNE."""
    names = ["slots", *(["vector_read"] if config.vector_lanes else [])]
    return [ADDRESS[name] for name in names]


class Outbox:
    """The beats of command packets, as the simulators take them."""

    def __init__(self, packets: Sequence[bytes], beat_bytes: int):
        padded = [p + bytes(-len(p) % beat_bytes) for p in packets]
        self.data = b"".join(padded)
        self.beats = len(self.data) // beat_bytes
        ends = np.cumsum([len(p) // beat_bytes for p in padded], dtype=np.int64) - 1
        last = np.zeros(max(self.beats, 1), np.uint8)
        last[ends] = 1
        self.last = last.tobytes()


class Inbox:
    """Response packets, put together from beats."""

    def __init__(self, beat_bytes: int, on_response: Callable[[int], None] | None):
        self.packets: list[bytes] = []
        self._beat_bytes = beat_bytes
        self._open = bytearray()
        self._on_response = on_response

    def add(self, data: bytes, last: Sequence[int] | np.ndarray):
        """Take beats; reports how many packets there are now if that has changed."""
        start = 0
        for end in np.flatnonzero(last) + 1:
            self._open += data[start * self._beat_bytes : end * self._beat_bytes]
            self.packets.append(bytes(self._open))
            self._open.clear()
            start = int(end)
        self._open += data[start * self._beat_bytes :]
        if start and self._on_response:
            self._on_response(len(self.packets))


def hang(config: Config, answered: int, asked: int) -> DeviceError:
    return DeviceError(
        f"the simulated device stopped: {answered} of {asked} commands answered, then nothing for "
        f"{longest_silence(config)} cycles; open it again"
    )
