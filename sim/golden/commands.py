"""What each command does and answers: a RUN what the array does, all others fill and move words."""

import struct

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Flag, Refused, Status, Target
from ...hw.isa.commands import (
    WITH_PAYLOAD,
    ColumnSettings,
    Load,
    Read,
    Run,
    Side,
    Write,
    decode,
    opcodes,
)
from ...hw.isa.descriptors import (
    BIAS_BYTES,
    COPY_BYTES,
    FILL_BIASES,
    FILL_SETTINGS,
    GUARDS,
    SETTING_BYTES,
    Copy,
    Dense,
    Fill,
    Image,
    Prune,
    Rows,
    Vector,
)
from ...hw.isa.vector import MOST_INSTRUCTIONS, program_words
from . import external, gather, prune, vector
from .array import ArrayModel
from .biases import fixed_point


class CommandModel(ArrayModel):
    """A device but for its transport; bytes of external memory may answer COPYs with errors."""

    def __init__(self, config: Config, broken: range = range(0)):
        super().__init__(config)
        self._image: Image | None = None
        self._external = external.ExternalMemory(broken)

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
            case Prune():
                return self._prune(command), 0, b""
            case _:
                return Status.OK, 0, b""

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
        settings = (FILL_SETTINGS, FILL_BIASES)[: 1 + self.config.training]
        if fill.target == Target.ACTIVATIONS or fill.target not in (*Target, *settings):
            return Status.BAD_TARGET
        if fill.index_words and fill.target != Target.VALUES:
            return Status.BAD_FIELD
        if fill.target in settings:
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

        def biases() -> None:
            size, unit = config.group_bytes, config.format.product_unit_log2
            words = self._memory[fill.source : fill.source + fill.words, :size]
            elements = np.frombuffer(words.tobytes(), "<u4")[: fill.count].tolist()
            lost = fill.words != -(-fill.count * BIAS_BYTES // size)
            for column, raw in enumerate(elements):
                bias, gone = fixed_point(raw, unit, config.accumulator_bits)
                self._set(ColumnSettings(column, fill.address, 1 << 15, unit - 15, bias))
                lost |= gone
            self._flags |= lost << Flag.FAULT

        def work() -> None:
            content = self._memory[fill.source : fill.source + fill.words].tobytes()
            for column in range(min(fill.count, len(content) // SETTING_BYTES)):
                scale, exponent, low, high = struct.unpack_from(
                    "<HhQi", content, SETTING_BYTES * column
                )
                self._set(ColumnSettings(column, fill.address, scale, exponent, high << 64 | low))
            if fill.words != -(-fill.count * SETTING_BYTES // config.stream_bytes):
                self._flags |= 1 << Flag.FAULT

        self._issue(fill, biases if fill.target == FILL_BIASES else work)
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
            or (rows.grouped and (rows.address | rows.groups) % config.lanes)
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
            guarded = self.config.prunes and command.guarded
            if guarded and any(self._flags >> flag & 1 for flag in GUARDS):
                return
            for flag in vector.run(self.config, self._memory, command):
                self._flags |= 1 << flag

        self._issue(command, work)
        return Status.OK

    def _prune(self, command: Prune) -> Status:
        outside, wrong = prune.refused(self.config, command)
        if wrong:
            return Status.BAD_FIELD
        if outside:
            return Status.BAD_ADDRESS

        def work() -> None:
            for flag in prune.run(self.config, self._memory, command):
                self._flags |= 1 << flag

        self._issue(command, work)
        return Status.OK
