"""A checker of command packets that knows nothing of the planner: what each RUN finds in the pages
it names, and how long an array would wait for its commands, by figures of its own."""

import struct
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from heddle.hw.config import Config

LOAD, SETTINGS, RUN = 1, 2, 3
ACTIVATIONS, SCHEDULE, INDICES, VALUES = range(4)
HEADER = 5
"""Cycles of a command besides its payload: two beats, and three steps of the sequencer (judge,
execute, respond)."""


@dataclass
class Checker:
    """Executes packets as far as pages and time go.

    `per_word` says how many cycles a word of each buffer takes to be loaded.
    """

    config: Config
    per_word: dict[int, int]
    commands: list[tuple[int, dict]] = field(default_factory=list)
    waited: int = 0
    """Cycles in which the array had nothing to do between the first RUN and the last."""
    worked: int = 0

    def __post_init__(self):
        c = self.config
        self.depth = {
            ACTIVATIONS: c.activation_groups,
            SCHEDULE: c.schedule_records,
            INDICES: c.weight_slots,
            VALUES: c.weight_slots,
        }
        self.loaded = {target: np.zeros(2 * depth, bool) for target, depth in self.depth.items()}
        self.records = np.zeros(2 * c.schedule_records, int)
        self.settings = np.zeros((c.columns, c.settings_pages * c.interleave), bool)
        self.free: dict[tuple, int] = {}
        self.stream = self.array = 0
        self.queue: deque[int] = deque(maxlen=c.runs_ahead)

    def execute(self, packets) -> "Checker":
        for packet in packets:
            words = struct.unpack("<16H", packet[:32])
            opcode = words[0] & 0xFF
            self.stream += HEADER
            kind = {LOAD: self._load, SETTINGS: self._set, RUN: self._run}[opcode]
            self.commands.append((opcode, kind(words, packet)))
        return self

    def of(self, opcode: int) -> list[dict]:
        return [fields for kind, fields in self.commands if kind == opcode]

    def words(self, target: int) -> int:
        """How many words of a buffer were loaded."""
        return sum(load["count"] for load in self.of(LOAD) if load["target"] == target)

    def _page(self, target: int, start: int, count: int) -> tuple:
        """The one page that so many words lie in."""
        page, inside = divmod(start, self.depth[target])
        assert page < 2, f"{start} is beyond both pages of buffer {target}"
        assert inside + count <= self.depth[target], (
            f"{count} words from {inside} on leave their page of {self.depth[target]} in {target}"
        )
        return "weights" if target in (INDICES, VALUES) else target, page

    def _load(self, words, packet) -> dict:
        target, address, count = words[1:4]
        page = self._page(target, address, count)
        self.stream = max(self.stream, self.free.get(page, 0)) + count * self.per_word[target]
        self.loaded[target][address : address + count] = True
        if target == SCHEDULE:
            payload = np.frombuffer(packet[32:], np.uint8)
            payload = payload[-(-32 // self.config.stream_bytes) * self.config.stream_bytes - 32 :]
            self.records[address : address + count] = payload[:count]
        return {"target": target, "address": address, "count": count}

    def _set(self, words, packet) -> dict:
        column, entry = words[1:3]
        page = entry // self.config.interleave
        self.stream = max(self.stream, self.free.get(("settings", page), 0))
        self.settings[slice(None) if column == 0xFFFF else column, entry] = True
        return {"column": column, "entry": entry, "page": page}

    def _run(self, words, packet) -> dict:
        c = self.config
        mode, base, stride, blocks, slot, first, count = words[1:8]
        pages = [self._page(SCHEDULE, first, count)]
        assert self.loaded[SCHEDULE][first : first + count].all()
        bits = c.group.bit_length()
        kept, skips = (
            self.records[first : first + count] & ((1 << bits) - 1),
            self.records[first : first + count] >> bits,
        )
        slots = int(kept.sum()) * c.interleave
        pages.append(self._page(VALUES, slot, slots))
        for target in (VALUES, INDICES):
            assert self.loaded[target][slot : slot + slots].all(), "a slot that was never loaded"
        groups = np.cumsum(skips + 1) - 1
        for block in range(blocks):
            start = base + block * stride
            pages.append(self._page(ACTIVATIONS, start, int(groups[-1]) + 1))
            assert self.loaded[ACTIVATIONS][start + groups[kept > 0]].all()
        finish, settings = mode & 1, mode >> 6 & 127
        if finish:
            own = slice(settings * c.interleave, (settings + 1) * c.interleave)
            assert self.settings[0, own].all(), "settings that were never sent"
            pages.append(("settings", settings))
        ready = self.stream
        if len(self.queue) == self.queue.maxlen:
            ready = max(ready, self.queue[0])
        begin = max(ready, self.array)
        if self.worked:
            self.waited += begin - self.array
        work = blocks * max(slots, c.interleave)
        self.queue.append(begin)
        self.stream, self.array, self.worked = ready, begin + work, self.worked + work
        self.free |= dict.fromkeys(pages, self.array + 20)
        return {"finish": finish, "slots": slots, "blocks": blocks, "settings": settings}
