"""The golden model with a time of its own: descriptors are worked on as late or as early as their
waits allow, so that a wait that is missing shows in the result.

A descriptor's steps are events, each in the queue of an engine: done one after another there, and
each when all that it needs has been done. A RUN multiplies, then reads what it takes on the way out
(column settings, side operands), then stores; so what it reads there may be read as soon as it has
multiplied. Any order of all events that the needs allow is a schedule.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...hw.config import Config
from ...hw.isa.commands import Command, Read, Run, Side, Write, decode
from ...hw.isa.descriptors import Copy, Dense, Fill, Image, Prune, Rows, Vector
from ...hw.isa.engines import WAIT_BITS, Engine
from .device import ModelTransport

OUT = len(Engine)
"""One more queue: RUNs that read what they take on the way out."""
QUEUES = (*Engine, OUT)
ENGINES: dict[type, Engine] = {
    Fill: Engine.FILL,
    Dense: Engine.FILL,
    Image: Engine.ROWS,
    Rows: Engine.ROWS,
    Run: Engine.ARRAY,
    Vector: Engine.VECTOR,
    Prune: Engine.VECTOR,
    Copy: Engine.COPY,
}
"""That a descriptor comes to first."""


@dataclass(frozen=True, eq=False)
class Event:
    """A step of a descriptor."""

    command: Command
    number: int
    """Of all events, in the order of the program."""
    queue: int
    place: int
    """How many there are in its queue before it."""
    needs: tuple[tuple[int, int], ...]
    """Queues, and how many events of each must have been done."""
    step: Callable[[], None]


class Issued:
    """Turns descriptors into events, in the order of the program."""

    def __init__(self):
        self.counts = [0] * len(QUEUES)
        self._number = 0

    def of(self, command: Command, steps: Iterable[Callable[[], None]]) -> list[Event]:
        """The events of a descriptor with these steps: only a RUN has more than one."""
        first = ENGINES[type(command)]
        needs = needed(command, self.counts)
        events = []
        for queue, step in zip((first, OUT, Engine.STORE), steps, strict=False):
            event = Event(command, self._number, queue, self.counts[queue], needs, step)
            events.append(event)
            self.counts[queue] += 1
            self._number += 1
            needs = ((queue, event.place + 1),)
        return events


def needed(command: Command, counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """What a descriptor's `waits` say after so many events of each engine."""
    waits, needs = getattr(command, "waits", 0), []
    for engine in Engine:
        field = waits >> WAIT_BITS * engine & (1 << WAIT_BITS) - 1
        count = counts[engine] - (field - 1)
        if field and count > 0:
            needs.append((int(engine), count))
    return tuple(needs)


def events_of(commands: Iterable[Command]) -> list[Event]:
    """The events of a program's descriptors, to look at their order: their steps do nothing."""
    issued, events = Issued(), []
    for command in commands:
        if type(command) not in ENGINES:
            continue
        steps = 1
        if isinstance(command, Run):
            steps += command.finish + command.store
        events += issued.of(command, [lambda: None] * steps)
    return events


def clocks(events: Sequence[Event]) -> list[list[int]]:
    """For each event how many of each queue's, at least, have been done when it begins."""
    known = {(event.queue, event.place): n for n, event in enumerate(events)}
    made: list[list[int]] = []
    for event in events:
        clock = [0] * len(QUEUES)
        for queue, count in (*event.needs, (event.queue, event.place)):
            clock[queue] = max(clock[queue], count)
            before = known.get((queue, count - 1))
            if before is not None:
                clock = [max(pair) for pair in zip(clock, made[before], strict=True)]
        made.append(clock)
    return made


Order = Callable[[Sequence[Event]], Mapping[int, Any]]
"""A rank for each event by its number: of those that can be done the lowest one is next, and the
earliest in the program of equal ones."""


def in_order(events: Sequence[Event]) -> Mapping[int, Any]:
    """As the program has them."""
    return {event.number: 0 for event in events}


def shuffled(seed: int) -> Order:
    """By chance, each time otherwise."""
    rng = np.random.default_rng(seed)
    return lambda events: {event.number: float(rng.random()) for event in events}


def late(queue: int) -> Order:
    """One queue's events only when nothing else can be done."""
    return lambda events: {event.number: event.queue == queue for event in events}


def early(queue: int) -> Order:
    """One queue's events whenever they can be done."""
    return lambda events: {event.number: event.queue != queue for event in events}


def hurried(number: int) -> Order:
    """One event before all that it need not come after. Of any two that need not wait for each
    other, so, the second one is once done before the first."""

    def order(events: Sequence[Event]) -> Mapping[int, Any]:
        made = clocks(events)
        mine = next((n for n, event in enumerate(events) if event.number == number), None)
        if mine is None:
            return in_order(events)
        clock = made[mine]
        return {
            event.number: event.number != number and event.place >= clock[event.queue]
            for event in events
        }

    return order


class ScheduledModel(ModelTransport):
    """The golden model, whose engines work in any order that the program allows.

    A command that is no descriptor, and a RUN whose rows are its answer, comes when all before it
    is done.
    """

    def __init__(self, config: Config, order: Order):
        super().__init__(config)
        self._order = order
        self._issued = Issued()
        self._done = [0] * len(QUEUES)
        self._queues: list[deque[Event]] = [deque() for _ in QUEUES]

    def exchange(
        self, packets: Sequence[bytes], on_response: Callable[[int], None] | None = None
    ) -> list[bytes]:
        answers = super().exchange(packets, on_response)
        self._finish_all()
        return answers

    def write_register(self, address: int, value: int) -> None:
        self._finish_all()
        super().write_register(address, value)

    def _execute(self, header: bytes, payload: bytes):
        if header[0] not in {int(kind.opcode) for kind in (*ENGINES, Side)}:
            self._finish_all()
        done = super()._execute(header, payload)
        if header[0] in (Write.opcode, Read.opcode) and done[0] == 0 and decode(header).external:
            # The copy engine has done it, in its turn.
            for counts in (self._issued.counts, self._done):
                counts[Engine.COPY] += 1
        return done

    def _issue(self, command: Command, *steps: Callable[[], None]) -> None:
        for event in self._issued.of(command, steps):
            self._queues[event.queue].append(event)
        if isinstance(command, Run) and command.finish and not command.store:
            self._finish_all()

    def _finish_all(self) -> None:
        """Do all that was given, in the order's order."""
        events = sorted((e for queue in self._queues for e in queue), key=lambda e: e.number)
        rank = self._order(events) if events else {}
        while heads := [queue[0] for queue in self._queues if queue]:
            ready = (event for event in heads if self._ready(event))
            event = min(ready, key=lambda event: (rank[event.number], event.number))
            self._queues[event.queue].popleft()
            self._done[event.queue] += 1
            event.step()

    def _ready(self, event: Event) -> bool:
        return all(self._done[queue] >= count for queue, count in event.needs)


def every_extreme() -> list[tuple[str, Order]]:
    """Each engine as late as can be, and as early."""
    names = [engine.name for engine in Engine] + ["OUT"]
    return [
        (f"{what} {name}", order(queue))
        for queue, name in zip(QUEUES, names, strict=True)
        for what, order in (("late", late), ("early", early))
    ]


def every_hurry(commands: Iterable[Command], step: int = 1) -> list[tuple[str, Order]]:
    """Each event, or one of `step`, before all that it need not come after."""
    numbers = range(0, len(events_of(commands)), step)
    return [(f"hurried {number}", hurried(number)) for number in numbers]


def races(
    config: Config, packets: Sequence[bytes], orders: Iterable[tuple[str, Order]]
) -> list[str]:
    """Which schedules of packets leave other memories, flags or answers than the program's order.

    The headers' own flags are not looked at: what they tell depends on time.
    """
    wanted = _outcome(ModelTransport(config), packets)
    return [
        name for name, order in orders if _outcome(ScheduledModel(config, order), packets) != wanted
    ]


def _outcome(device: ModelTransport, packets: Sequence[bytes]) -> tuple:
    header = device.config.header_beats * device.config.stream_bytes
    answers = device.exchange(packets)
    return device.state(), [(answer[:8], answer[header:]) for answer in answers]
