"""The golden model behind the device's own commands: what every response must be, bit for bit.

It interprets packets as `hw/isa/commands.py` defines them, with the golden model's arithmetic, one
command after another. It is the scoreboard of the whole chip, and a device to test the driver
against without a simulator. Time is not modelled: `cycles` counts issued slots.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Flag, Refused, Status, Target
from ...hw.isa.commands import (
    ALL_COLUMNS,
    WITH_PAYLOAD,
    ColumnSettings,
    Command,
    Load,
    Read,
    Response,
    Run,
    Side,
    Write,
    decode,
    opcodes,
)
from ...hw.isa.descriptors import (
    COPY_BYTES,
    FILL_SETTINGS,
    SETTING_BYTES,
    Copy,
    Dense,
    Fill,
    Image,
    Rows,
    Vector,
)
from ...hw.isa.registers import (
    ADDRESS,
    CONTROL_CLEAR_COUNTERS,
    CONTROL_CLEAR_FLAGS,
    CONTROL_RESET,
    constants,
    kept,
)
from ...hw.isa.vector import MOST_INSTRUCTIONS, program_words
from . import epilogue, external, gather, numbers, side, vector
from .accumulation import ARITHMETIC

COUNTED = ("commands", "errors", "cycles", "macs", "slots", "tiles")
AT_ONCE = 256
"""Rounds whose products are made at once."""


class ModelTransport:
    """A device of `config` as a transport for the driver (`transport.Transport`); some bytes of its
    external memory may answer COPYs with errors."""

    def __init__(self, config: Config, broken: range = range(0)):
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
        self._image: Image | None = None
        self._side = Side()
        self._external = external.ExternalMemory(broken)
        self._flags = 0
        self._counters = dict.fromkeys(COUNTED, 0)
        self._sums = self._zeros()

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

    def _zeros(self) -> np.ndarray:
        shape = (self.config.rows, self.config.tile_columns)
        return np.zeros(shape, self._arithmetic.dtype)

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

    def _execute(self, header: bytes, payload: bytes) -> tuple[Status, int, bytes]:
        try:
            command = decode(header)
        except Refused as reason:
            return reason.status, 0, b""
        if command.opcode not in opcodes(self.config):
            return Status.BAD_OPCODE, 0, b""
        # After it comes its payload, or another command; nothing, if the answer has more to say.
        answers = isinstance(command, Read) or (
            isinstance(command, Run) and command.finish and not command.store
        )
        if not payload if command.opcode in WITH_PAYLOAD else payload and answers:
            return Status.BAD_LENGTH, 0, b""
        match command:
            case Load():
                return self._load(command, payload), 0, b""
            case ColumnSettings():
                return self._set(command), 0, b""
            case Run():
                return self._run(command)
            case Write():
                return self._write(command, payload), 0, b""
            case Read():
                return self._read(command)
            case Fill():
                return self._fill(command), 0, b""
            case Rows():
                return self._rows(command), 0, b""
            case Image():
                return self._set_image(command), 0, b""
            case Vector():
                return self._vector(command), 0, b""
            case Side():
                return self._beside(command), 0, b""
            case Copy():
                return self._copy(command), 0, b""
            case Dense():
                return self._dense(command), 0, b""
            case _:
                return Status.OK, 0, b""

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

    def _write(self, write: Write, payload: bytes) -> Status:
        if problem := self._misses(write):
            return problem
        # Of a payload that ends early, what came is written.
        words = np.frombuffer(payload, np.uint8).reshape(-1, self.config.stream_bytes)
        came = words[: write.count]
        if write.external:
            self._external.write(write.address * self.config.stream_bytes, came.reshape(-1))
        else:
            self._memory[write.address : write.address + len(came)] = came
        return Status.OK if len(words) == write.count else Status.BAD_LENGTH

    def _read(self, read: Read) -> tuple[Status, int, bytes]:
        if problem := self._misses(read):
            return problem, 0, b""
        size = self.config.stream_bytes
        if read.external:
            words = self._external.read(read.address * size, read.count * size)
        else:
            words = self._memory[read.address : read.address + read.count]
        return Status.OK, read.count, words.tobytes()

    def _misses(self, command: Write | Read) -> Status:
        """What is wrong with the words that the host wants to reach."""
        config, first, count = self.config, command.address, command.count
        if not command.external:
            return Status.OK if self._inside(first, count) else Status.BAD_ADDRESS
        if not config.external_bits:
            return Status.BAD_FIELD
        size = config.stream_bytes
        inside = (first + count) * size <= 1 << config.external_bits
        few = count * size < 1 << COPY_BYTES
        return Status.OK if inside and few and count else Status.BAD_ADDRESS

    def _copy(self, copy: Copy) -> Status:
        outside, across = external.refused(self.config, copy)
        if across:
            return Status.BAD_FIELD
        if outside:
            return Status.BAD_ADDRESS

        def work() -> None:
            whole = external.run(self.config, copy, self._external, self._memory)
            self._flags |= (not whole) << Flag.EXTERNAL

        self._issue(copy, work)
        return Status.OK

    def _fill(self, fill: Fill) -> Status:
        if fill.target == Target.ACTIVATIONS or fill.target not in (*Target, FILL_SETTINGS):
            return Status.BAD_TARGET
        if fill.index_words and fill.target != Target.VALUES:
            return Status.BAD_FIELD
        if fill.target == FILL_SETTINGS:
            return self._fill_settings(fill)
        parts = [(fill.target, fill.source, fill.words)]
        if fill.index_words:
            parts.append((Target.INDICES, fill.indices, fill.index_words))
        if not all(self._inside(first, count) for _, first, count in parts):
            return Status.BAD_ADDRESS
        page = self._buffers[Target(fill.target)][0].shape[0] // 2
        if fill.address >= 2 * page or not 0 < fill.count <= page - fill.address % page:
            return Status.BAD_ADDRESS

        def work() -> None:
            for target, first, count in parts:
                payload = self._memory[first : first + count].tobytes()
                # What is wrong with its words shows when it is done, after its answer.
                status = self._load(Load(target, fill.address, fill.count), payload)
                self._flags |= (status != Status.OK) << Flag.FAULT

        self._issue(fill, work)
        return Status.OK

    def _fill_settings(self, fill: Fill) -> Status:
        config = self.config
        if (
            not self._inside(fill.source, fill.words)
            or fill.address >= config.settings_entries
            or not 0 < fill.count <= config.columns
        ):
            return Status.BAD_ADDRESS

        def work() -> None:
            content = self._memory[fill.source : fill.source + fill.words].tobytes()
            for column in range(min(fill.count, len(content) // SETTING_BYTES)):
                scale, exponent, low, high = struct.unpack_from(
                    "<HhQi", content, SETTING_BYTES * column
                )
                self._set(ColumnSettings(column, fill.address, scale, exponent, high << 64 | low))
            if fill.words != -(-fill.count * SETTING_BYTES // config.stream_bytes):
                self._flags |= 1 << Flag.FAULT

        self._issue(fill, work)
        return Status.OK

    def _set_image(self, image: Image) -> Status:
        if gather.wrong(self.config, image):
            return Status.BAD_FIELD
        self._image = image
        self._issue(image, lambda: None)
        return Status.OK

    def _rows(self, rows: Rows) -> Status:
        config, depth, image = self.config, self.config.activation_groups, self._image
        if image is None or gather.misplaced(config, image, rows):
            return Status.BAD_FIELD
        if (
            not self._inside(rows.source, rows.words)
            or not 0 < rows.rows <= config.rows
            or rows.address >= 2 * depth
            or not 0 < rows.groups <= depth - rows.address % depth
        ):
            return Status.BAD_ADDRESS

        def work() -> None:
            groups, outside = gather.rows(config, image, rows, self._memory)
            self._flags |= outside << Flag.FAULT
            # As the payload of a LOAD of the same groups would have it.
            self._load(Load(Target.ACTIVATIONS, rows.address, rows.groups), groups.tobytes())

        self._issue(rows, work)
        return Status.OK

    def _dense(self, dense: Dense) -> Status:
        inside = self._inside(dense.source, dense.words)
        if not inside or gather.dense_wrong(self.config, dense):
            return Status.BAD_ADDRESS

        def work() -> None:
            values, outside = gather.dense(self.config, dense, self._memory)
            self._flags |= outside << Flag.FAULT
            slots = len(values)
            places = np.arange(slots) % self.config.group
            self._indices[dense.address : dense.address + slots] = places[:, None]
            # As the payload of a LOAD of the same weights would have it.
            content = values.tobytes()
            content += bytes(-len(content) % self.config.stream_bytes)
            self._load(Load(Target.VALUES, dense.address, slots), content)

        self._issue(dense, work)
        return Status.OK

    def _vector(self, command: Vector) -> Status:
        if not 0 < command.instructions <= MOST_INSTRUCTIONS or 0 in (command.spans, command.rows):
            return Status.BAD_FIELD
        program = command.program, program_words(self.config, command.instructions)
        if not all(self._inside(*words) for words in (program, *command.streams) if words[1]):
            return Status.BAD_ADDRESS

        def work() -> None:
            for flag in vector.run(self.config, self._memory, command):
                self._flags |= 1 << flag

        self._issue(command, work)
        return Status.OK

    def _beside(self, command: Side) -> Status:
        if not command.addend_groups <= min(command.addend_pitch, command.addend_words):
            return Status.BAD_FIELD
        self._side = command
        return Status.OK

    def _inside(self, first: int, count: int) -> bool:
        """There are words, and all of them are in tensor memory."""
        return count > 0 and first + count <= self.config.tensor_words

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
            for block in range(blocks):
                base = run.activation_base + block * run.activation_stride
                self._tile(run.activation_base, base, run.slot_base, first, count)
                if run.finish:
                    sums.append(self._arithmetic.integers(config.format, self._sums))
                    self._sums = self._zeros()
                    self._counters["tiles"] += 1

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

    def _tile(self, start: int, base: int, slot_base: int, first: int, count: int) -> None:
        """Add one tile's products to the sums, round after round of T slots of C weights."""
        config = self.config
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
                self._multiply(self._activations[rounds[part]], slots[part, context], context)
        issued = max(slots.size, config.interleave)
        self._counters["slots"] += issued
        self._counters["cycles"] += issued

    def _multiply(self, held: np.ndarray, slots: np.ndarray, context: int) -> None:
        """In each round [slots], each row's activation that a column's index names, times that
        column's weight."""
        config = self.config
        weights, indices = self._values[slots], self._indices[slots]
        chosen = np.take_along_axis(held, indices[:, None, :].astype(np.int64), axis=2)
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
