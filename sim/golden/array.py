"""The array with its buffers, and what a RUN does with them: tiles are added up, and go to the host
or to tensor memory."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Flag, Status, Target
from ...hw.isa.commands import ALL_COLUMNS, ColumnSettings, Command, Load, Run, Side
from . import epilogue, numbers, side
from .accumulation import ARITHMETIC

COUNTED = ("commands", "errors", "cycles", "macs", "slots", "tiles")
AT_ONCE = 256
"""Rounds whose products are made at once."""


class ArrayModel:
    """Buffers, settings, sums and tensor memory; flags and counters of what is done with them."""

    def __init__(self, config: Config):
        self.config = config
        self._arithmetic = ARITHMETIC[config.accumulation]
        dtype = numbers.raw_dtype(config.format)
        self._activations = np.zeros(
            (2 * config.activation_groups, config.rows, config.group), dtype
        )
        self._schedule = np.zeros(2 * config.schedule_records, np.uint8)
        self._indices = np.zeros((2 * config.weight_slots, config.columns), np.uint8)
        self._values = np.zeros((2 * config.weight_slots, config.columns), dtype)
        self._buffers = {
            Target.ACTIVATIONS: (
                self._activations,
                config.rows * config.group * config.format.bits,
            ),
            Target.SCHEDULE: (self._schedule, 8),
            Target.INDICES: (self._indices, 4 * config.columns),
            Target.VALUES: (self._values, config.columns * config.format.bits),
        }
        """Each with the bits of a word."""
        plain = (0, 1 << 15, config.format.product_unit_log2 - 15)
        self._settings = [[plain] * config.columns for _ in range(config.settings_entries)]
        self._memory = np.zeros((config.tensor_words, config.stream_bytes), np.uint8)
        self._side = Side()
        self._flags = 0
        self._counters = dict.fromkeys(COUNTED, 0)
        self._sums = self._zeros()
        self._forget()

    def _forget(self) -> None:
        """After a reset each element holds the index 0, and has taken it."""
        shape = self.config.rows, self.config.columns
        self._held, self._taken = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)

    def _zeros(self) -> np.ndarray:
        shape = (self.config.rows, self.config.tile_columns)
        return np.zeros(shape, self._arithmetic.dtype)

    def _inside(self, first: int, count: int) -> bool:
        """There are words, and all of them are in tensor memory."""
        return count > 0 and first + count <= self.config.tensor_words

    def _load(self, load: Load, payload: bytes) -> Status:
        config = self.config
        if load.target not in list(Target):
            return Status.BAD_TARGET
        target, address, count = Target(load.target), load.address, load.count
        buffer, word_bits = self._buffers[target]
        page = len(buffer) // 2
        if address >= 2 * page or count == 0 or address % page + count > page:
            return Status.BAD_ADDRESS
        needed = -(-count * word_bits // (8 * config.stream_bytes)) * config.stream_bytes
        data = np.frombuffer(payload, np.uint8)
        nibbles = np.stack([data & 15, data >> 4], axis=1).ravel()
        if target is Target.INDICES:
            elements = nibbles % config.group
        elif target is not Target.SCHEDULE and config.format.bits == 4:
            elements = nibbles
        else:
            elements = data.view(buffer.dtype)
        # Of a payload that ends early, what came is written.
        units = int(np.prod(buffer.shape[1:]))
        elements = elements[: count * units]
        buffer.reshape(-1)[address * units : address * units + len(elements)] = elements
        if target in (Target.ACTIVATIONS, Target.VALUES):
            if not numbers.is_finite(config.format, elements).all():
                activations = target is Target.ACTIVATIONS
                flag = Flag.NONFINITE_ACTIVATION if activations else Flag.NONFINITE_WEIGHT
                self._flags |= 1 << flag
        if len(payload) != needed:
            return Status.BAD_LENGTH
        if target is Target.SCHEDULE:
            counts = elements & ((1 << config.count_bits) - 1)
            if (counts > config.group).any():
                return Status.BAD_SCHEDULE
        return Status.OK

    def _set(self, command: ColumnSettings) -> Status:
        config, column = self.config, command.column
        every = column == ALL_COLUMNS
        if (column >= config.columns and not every) or command.entry >= config.settings_entries:
            return Status.BAD_ADDRESS
        bias = _signed(command.bias, config.accumulator_bits)
        for c in range(config.columns) if every else [column]:
            self._settings[command.entry][c] = (bias, command.scale, command.exponent)
        return Status.OK

    def _beside(self, command: Side) -> Status:
        if not command.addend_groups <= min(command.addend_pitch, command.addend_words):
            return Status.BAD_FIELD
        self._side = command
        return Status.OK

    def _run(self, run: Run) -> tuple[Status, int, bytes]:
        config = self.config
        first, count, blocks = run.schedule_base, run.schedule_count, run.row_blocks
        beside_wrong = side.flaw(config, run, self._side)
        if (
            run.settings_page >= config.settings_pages
            or blocks == 0
            or count == 0
            or (not run.finish and blocks != 1)
            or (run.store and self._misplaced(run))
            or beside_wrong is Status.BAD_FIELD
            or (config.tensor_words and (run.held or run.takes) > config.training)
        ):
            return Status.BAD_FIELD, 0, b""
        if (
            run.activation_base >= 2 * config.activation_groups
            or run.slot_base >= 2 * config.weight_slots
            or first >= 2 * config.schedule_records
            or first % config.schedule_records + count > config.schedule_records
            or beside_wrong is Status.BAD_ADDRESS
            or (
                run.store
                and not (run.groups <= run.words and self._inside(run.destination, run.words))
            )
        ):
            return Status.BAD_ADDRESS, 0, b""
        beside = self._side
        sums: list[np.ndarray] = []
        rows: list[np.ndarray] = []

        def multiply() -> None:
            taking = self._takes(run, beside)
            for block in range(blocks):
                base = run.activation_base + block * run.activation_stride
                self._tile(run, base, taking)
                if run.finish:
                    sums.append(self._arithmetic.integers(config.format, self._sums))
                    self._sums = self._zeros()
                    self._counters["tiles"] += 1
            if run.takes:
                self._held = self._taken.copy()

        def finish() -> None:
            operands = side.operands(config, self._memory, run, beside)
            self._flags |= operands.nonfinite << Flag.NONFINITE_ACTIVATION
            for block in range(blocks):
                mine = slice(block * config.rows, (block + 1) * config.rows)
                rows.append(self._finish(run, sums[block], operands, mine))

        def store() -> None:
            whole = np.concatenate([tile[:, ::-1] for tile in rows], axis=1)
            for plane, content in enumerate(whole):
                to = run.destination + plane * beside.output_plane
                self._store(replace(run, destination=to), content)

        self._issue(run, multiply, *[finish][: run.finish], *[store][: run.store])
        if not run.finish or run.store:
            return Status.OK, 0, b""
        line = config.row_beats(OutputFormat(run.output)) * config.stream_bytes
        padded = (np.pad(tile[0], ((0, 0), (0, line - tile.shape[2]))) for tile in rows)
        return Status.OK, blocks * config.tile_rows, b"".join(tile.tobytes() for tile in padded)

    def _issue(self, command: Command, *steps: Callable[[], None]) -> None:
        """Do what a descriptor says: step by step, and at once."""
        for step in steps:
            step()

    def _misplaced(self, run: Run) -> bool:
        """Rows to store would lie across each other, or none of a row is to be stored, or there is
        no memory, or they would begin within what is stored together."""
        config = self.config
        return (
            not config.tensor_words
            or not run.finish
            or run.pitch < run.groups
            or run.offset // config.group_bytes >= run.groups
            or run.offset % config.store_bytes != 0
        )

    def _store(self, run: Run, rows: np.ndarray) -> None:
        """Put rows of bytes where they belong; what has no place there is dropped."""
        config, size = self.config, self.config.group_bytes
        end = run.groups * size
        if run.pad:
            rows = np.pad(rows, ((0, 0), (0, -(run.offset + rows.shape[1]) % size)))
        row_bytes = rows[:, : max(0, end - run.offset)]
        for number, row in enumerate(row_bytes):
            window, lane = divmod(number, config.lanes)
            if window * run.pitch + run.groups > run.words:
                break
            first = run.destination + window * run.pitch
            held = self._memory[first : first + run.groups].reshape(run.groups, config.lanes, -1)
            mine = held[:, lane].reshape(-1)
            mine[run.offset : run.offset + len(row)] = row
            held[:, lane] = mine.reshape(run.groups, -1)

    def _takes(self, run: Run, side: Side) -> Iterator[tuple[int, int]]:
        """The rows that take indices of a RUN, and the slots where these lie."""
        size = self.config.weight_slots
        for row in range(self.config.rows if run.takes else 0):
            yield row, run.slot_base // size * size + (side.held + row * side.held_step) % size

    def _tile(self, run: Run, base: int, taking: Iterator[tuple[int, int]]) -> None:
        """Add one tile's products to the sums, round after round of T slots of C weights; with each
        slot the next row that is `taking` takes its indices."""
        config, start, slot_base = self.config, run.activation_base, run.slot_base
        first, count = run.schedule_base, run.schedule_count
        page_of = start // config.activation_groups * config.activation_groups
        slot_page = slot_base // config.weight_slots * config.weight_slots
        records = self._schedule[first : first + count].astype(np.int64)
        kept = records & ((1 << config.count_bits) - 1)
        skipped = records >> config.count_bits
        groups = base + np.cumsum(skipped + 1) - 1
        rounds = page_of + np.repeat(groups, kept) % config.activation_groups
        slots = slot_base - slot_page + np.arange(len(rounds) * config.interleave)
        slots = slot_page + slots.reshape(-1, config.interleave) % config.weight_slots
        for at in range(0, len(rounds), AT_ONCE):
            part = slice(at, at + AT_ONCE)
            for context in range(config.interleave):
                self._multiply(run, self._activations[rounds[part]], slots[part, context], context)
        for row, place in islice(taking, len(rounds)):
            self._taken[row] = self._indices[place]
        issued = max(slots.size, config.interleave)
        self._counters["slots"] += issued
        self._counters["cycles"] += issued

    def _multiply(self, run: Run, held: np.ndarray, slots: np.ndarray, context: int) -> None:
        """In each round [slots], each row's activation that a column's index names, or the one that
        the element holds, times that column's weight."""
        config = self.config
        weights, indices = self._values[slots], self._indices[slots][:, None, :]
        if run.held:
            indices = self._held[None]
        elif run.takes:
            weights = np.zeros_like(weights)
        chosen = np.take_along_axis(held, indices.astype(np.int64), axis=2)
        a, b = (
            self._arithmetic.elements(
                config.format, np.where(numbers.is_finite(config.format, raw), raw, 0)
            )
            for raw in (chosen, weights)
        )
        block = slice(context * config.columns, (context + 1) * config.columns)
        for product in a * b[:, None, :]:
            self._sums[:, block] += product
        self._counters["macs"] += int(np.count_nonzero(b)) * config.rows

    def _finish(self, run: Run, sums: np.ndarray, beside: side.Operands, mine: slice) -> np.ndarray:
        """A tile's rows in the order of draining, as bytes [planes, R * T, bytes of a row], with
        those side operands that are its own."""
        config, output = self.config, OutputFormat(run.output)
        sums = self._arithmetic.drained(sums, config.accumulator_bits)
        page = run.settings_page * config.interleave
        entries = [
            self._settings[page + context][column]
            for context in range(config.interleave)
            for column in range(config.columns)
        ]
        bias, scale, exponent = (np.array(v, object) for v in zip(*entries, strict=True))
        masked: Any = False
        if config.tensor_words:
            sums = self._arithmetic.drained(sums + beside.addends[mine] + bias, config.exact_bits)
            masked, bias = beside.masked[mine], 0
        if output is OutputFormat.RAW:
            rows = side.limbs(sums)[:, ::-1]
        else:
            done = epilogue.finish(sums, bias, scale, exponent, bool(run.relu), output, masked)
            self._flags |= done.overflow << Flag.OVERFLOW | done.saturated << Flag.SATURATED
            rows = done.raw[::-1].reshape(1, config.tile_rows, config.columns)
        return np.ascontiguousarray(rows).view(np.uint8)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)
