"""The vector unit's programs over the words of tensor memory, strip by strip, with NumPy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Flag
from ...hw.isa.descriptors import Vector
from ...hw.isa.vector import (
    COMPARISONS,
    INSTRUCTION_BYTES,
    MOST_ROWS,
    REGISTERS,
    SERVES_ALL,
    SETUP,
    STREAMS,
    Instruction,
    Op,
    UnknownInstruction,
    decode,
    program_words,
    sizes,
    span_groups,
    strip_spans,
)
from . import vector_ops

COUNT = 1 << 16
"""Rows and spans count modulo this."""
MANY = 256
"""Strips at once, at most."""
NOBODY = -1
Cursor = tuple[int, int]
"""Rows and spans."""


@dataclass
class Stream:
    """What a program says of a stream."""

    size: int
    pitch: int = 0
    serves_all: bool = False
    steps: list[int] = field(default_factory=lambda: [1, 1, 1])


def run(config: Config, memory: np.ndarray, command: Vector) -> set[Flag]:
    """Carry out a command that is right on `memory`, uint8 [words, bytes of a word]; returns the
    flags that it sets."""
    words = program_words(config, command.instructions)
    content = memory[command.program : command.program + words].tobytes()
    try:
        instructions = _decoded(config, content[: command.instructions * INSTRUCTION_BYTES])
    except UnknownInstruction:
        return {Flag.FAULT}
    return _Run(config, memory, command, instructions).flags


@lru_cache(maxsize=64)
def _decoded(config: Config, content: bytes) -> list[Instruction]:
    places = range(0, len(content), INSTRUCTION_BYTES)
    return [decode(config, content[at : at + INSTRUCTION_BYTES]) for at in places]


class _Run:
    def __init__(self, config: Config, memory, command: Vector, instructions: list[Instruction]):
        self.config, self.memory, self.command = config, memory, command
        self.flags: set[Flag] = set()
        self.streams = [Stream(sizes(config)[0]) for _ in range(STREAMS)]
        self.columns = self.lines = MOST_ROWS
        for instruction in instructions:
            self._set_up(instruction)
        program = [i for i in instructions if i.op not in SETUP]
        spans, total = strip_spans(config), command.spans * command.rows
        # Strips of which none writes what another touches are done many at once.
        if total > spans and self._apart(program, np.arange(total), spans):
            spans *= MANY
        held = min(spans, total)
        self.registers = np.zeros((REGISTERS, held, config.group), np.uint32)
        self.mask = np.zeros((held, config.group), bool)
        for first in range(0, total, spans):
            self._strip(program, np.arange(first, min(first + spans, total)))

    def _set_up(self, i: Instruction) -> None:
        stream, number = self.streams[i.stream], i.value % COUNT
        match i.op:
            case Op.COLUMNS:
                self.columns = number or COUNT
            case Op.LINES:
                self.lines = number or COUNT
            case Op.PITCH:
                stream.pitch = number
            case Op.SIZE:
                stream.size, stream.serves_all = number, bool(i.value & SERVES_ALL)
            case Op.STEP:
                stream.steps[i.exchange] = number

    def _order(self, program: list[Instruction]) -> Iterator[tuple[Instruction, Cursor]]:
        """The instructions that move and work, as often as a strip does them, and where the cursors
        of their streams are."""
        cursors = [(0, 0)] * STREAMS
        at = start = count = 0
        while at < len(program):
            i = program[at]
            at += 1
            rows, spans = i.value % COUNT, i.value // COUNT
            match i.op:
                case Op.SEEK:
                    cursors[i.stream] = rows, spans
                case Op.LOOP:
                    start, count = at, rows
                case Op.END:
                    if count > 1:
                        at, count = start, count - 1
                case _:
                    was = cursors[i.stream]
                    yield i, was
                    if i.op in (Op.LOAD, Op.STORE):
                        cursors[i.stream] = (was[0] + rows) % COUNT, (was[1] + spans) % COUNT

    def _apart(self, program: list[Instruction], numbers: np.ndarray, spans: int) -> bool:
        """No strip of so many `spans` writes a group that another one reads or writes."""
        loads, stores = set(), set()
        for i, cursor in self._order(program):
            if i.loads:
                loads.add((i.stream, cursor))
            elif i.stores:
                stores.add((i.stream, cursor))
        strips = (numbers // spans)[:, None]
        writer = np.full(self.memory.shape[0] * self.config.lanes, NOBODY)
        for stream, cursor in (*stores, *loads):
            words, lanes, inside = self._groups(stream, numbers, *cursor)
            groups = (words * self.config.lanes + lanes)[inside]
            mine = np.broadcast_to(strips, words.shape)[inside]
            if ((writer[groups] != NOBODY) & (writer[groups] != mine)).any():
                return False
            if (stream, cursor) in stores:
                writer[groups] = mine
                if (writer[groups] != mine).any():
                    return False
        return True

    def _strip(self, program: list[Instruction], numbers: np.ndarray) -> None:
        """All instructions, for the spans of these numbers."""
        for i, cursor in self._order(program):
            match i.op:
                case Op.LOAD:
                    self._load(i, numbers, *cursor)
                case Op.STORE:
                    self._store(i, numbers, *cursor)
                case _:
                    self._work(i, numbers, cursor)

    def _work(self, i: Instruction, numbers: np.ndarray, cursor: Cursor) -> None:
        a = self.registers[i.a]
        if i.from_stream:
            a = np.zeros_like(a)
            a[: len(numbers)] = self._taken(i.stream, numbers, *cursor)
        if i.constant:
            b = np.full_like(a, i.value)
        elif i.exchange:
            b = self.registers[i.b][:, np.arange(self.config.group) ^ 1 << i.exchange - 1]
        else:
            b = self.registers[i.b].copy()
        result = vector_ops.result(i.op, a, b, self.mask)
        if i.op in COMPARISONS:
            self.mask = vector_ops.holds(i.op, a, b)
        if i.to_stream:
            here = slice(len(numbers))
            self._give(i.stream, numbers, *cursor, result[here], vector_ops.lost(i.op, a[here]))
        self.registers[i.target] = result

    def _load(self, i: Instruction, numbers: np.ndarray, rows: int, spans: int) -> None:
        words = self._taken(i.stream, numbers, rows, spans)
        size = self.streams[i.stream].size
        self.registers[i.target, : len(numbers)] = vector_ops.loaded(size, words)

    def _taken(self, number: int, numbers: np.ndarray, rows: int, spans: int) -> np.ndarray:
        """The elements of spans [spans, M], as words."""
        words, lanes, inside = self._groups(number, numbers, rows, spans)
        size = self.config.group_bytes
        by_lane = self.memory.reshape(len(self.memory), self.config.lanes, size)
        groups = np.where(inside[..., None], by_lane[np.where(inside, words, 0), lanes], 0)
        elements = np.ascontiguousarray(groups, np.uint8).reshape(len(numbers), -1)
        stream = self.streams[number]
        return vector_ops.words_of(stream.size, elements.view(f"<u{stream.size}"))

    def _store(self, i: Instruction, numbers: np.ndarray, rows: int, spans: int) -> None:
        a = self.registers[i.a, : len(numbers)]
        op = vector_ops.STORES[self.streams[i.stream].size]
        made = vector_ops.result(op, a, a, self.mask)
        self._give(i.stream, numbers, rows, spans, made, vector_ops.lost(op, a))

    def _give(
        self,
        number: int,
        numbers: np.ndarray,
        rows: int,
        spans: int,
        made: np.ndarray,
        lost: tuple[bool, bool],
    ) -> None:
        """Words [spans, M] become a stream's elements: as many of their low bits as these have."""
        words, lanes, inside = self._groups(number, numbers, rows, spans)
        self.flags |= {flag for flag, set_ in _flags(*lost) if set_}
        elements = np.ascontiguousarray(made).astype(f"<u{self.streams[number].size}")
        elements, size = elements.view(np.uint8), self.config.group_bytes
        groups = elements.reshape(*words.shape, size)
        by_lane = self.memory.reshape(len(self.memory), self.config.lanes, size)
        # What is written twice holds what came last.
        by_lane[words[inside], lanes[inside]] = groups[inside]

    def _groups(self, number: int, numbers: np.ndarray, rows: int, spans: int):
        """Words and lanes [spans, groups of one], and which are inside the stream's words."""
        stream, (base, count) = self.streams[number], self.command.streams[number]
        row, span = numbers // self.command.spans, numbers % self.command.spans
        images = row // (self.columns * self.lines)
        lines = row // self.columns - images
        steps = np.array([row - lines - images, lines, images])
        row = (np.array(stream.steps) @ steps + rows) % COUNT
        span = (spans + (0 if stream.serves_all else span)) % COUNT
        each = span_groups(self.config, stream.size)
        offset = row // self.config.lanes * stream.pitch + span * each
        offset = offset[:, None] + np.arange(each)
        inside = offset < count
        if not inside.all():
            self.flags.add(Flag.FAULT)
        lanes = np.broadcast_to((row % self.config.lanes)[:, None], offset.shape)
        return base + offset, lanes, inside


def _flags(overflow: bool, saturated: bool):
    return (Flag.OVERFLOW, overflow), (Flag.SATURATED, saturated)
