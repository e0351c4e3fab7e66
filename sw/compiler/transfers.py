"""A program's copies between the two memories, and their place among its other commands."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ...hw.isa.descriptors import Copy
from .history import NOBODY
from .tensors import overlap


@dataclass(frozen=True)
class Transfer:
    """A COPY, which may come after RUN `after` has been sent."""

    copy: Copy
    words: range
    """Of tensor memory."""
    after: int
    step: int
    """Of the program: what comes from this one on finds it done."""


class Pending:
    """Copies that have not been sent, the next one first."""

    def __init__(self, transfers: Iterable[Transfer]):
        self._queue = deque(transfers)

    def before(self, step: int, words: Iterable[range]) -> list[Transfer]:
        """Those that must be sent before what takes some words in a step of the program."""
        last, taken = NOBODY, list(words)
        for number, transfer in enumerate(self._queue):
            if transfer.step > step:
                break
            if any(overlap(transfer.words, other) for other in taken):
                last = number
        return [self._queue.popleft() for _ in range(last + 1)]

    def outward(self, run: int) -> list[Transfer]:
        """Those at the head that nothing in tensor memory waits for, and that may come before RUN
        `run`."""
        sent = []
        while self._queue and self._queue[0].copy.outward and self._queue[0].after < run:
            sent.append(self._queue.popleft())
        return sent

    def rest(self) -> list[Transfer]:
        """All of them."""
        sent = list(self._queue)
        self._queue.clear()
        return sent
