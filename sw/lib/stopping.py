"""Ends of long work between two of its steps, when a signal asks for it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import current_thread, main_thread
from types import FrameType

SIGNALS = signal.SIGINT, signal.SIGTERM


@dataclass
class Stop:
    """Whether the work is to end: the signal that asked for it, or 0."""

    signal: int = 0


def stopped_by(signal: int) -> int:
    """What a process exits with that a signal ended, by the shell's convention."""
    return 128 + signal


@contextmanager
def between_steps() -> Iterator[Stop]:
    """While this lasts, the first Ctrl-C or SIGTERM is only noted; the next one ends the process as
    ever. In other threads than the main one nothing changes: signals do not reach them."""
    stop = Stop()
    if current_thread() is not main_thread():
        yield stop
        return
    usual = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        back()

    def back() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        back()
