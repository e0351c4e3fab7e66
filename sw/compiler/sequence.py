"""The commands of a program in the order in which they are sent.

The engines work beside each other, each through its queue, so that order matters little: a load
stands some places before the RUN that needs it, also before RUNs of the product before, but never
before what it waits for.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Target
from ...hw.isa.commands import Command, Side
from ...hw.isa.descriptors import (
    BIAS_BYTES,
    FILL_BIASES,
    FILL_SETTINGS,
    Copy,
    Dense,
    Fill,
    Image,
    Rows,
)
from ...hw.isa.engines import Engine
from .encoding import Encoder
from .gradients import Across, DenseRows
from .kept import Grouped, KeptRows
from .packing import PackedWeights
from .pruning import PrunedWeights, Share
from .steps import Load, Sent, Setting
from .tensors import RawTensor, Tensor
from .transfers import Pending, Transfer
from .vector_program import VectorProgram
from .waits import Waits
from .walks import Walk

AHEAD = 6
"""Descriptors of an engine that are sent before they are needed: fewer than its queue holds, so
that no RUN has to wait behind them."""
BEHIND = 6
"""RUNs that are sent before what another one has stored is copied to external memory: those that
come first have been read for then, and a COPY from there need not stand behind one that waits."""


@dataclass(frozen=True)
class Part:
    """What the commands of one product need to know of it."""

    encoder: Encoder
    x: Walk | Across | Grouped
    weights: PackedWeights | DenseRows | PrunedWeights | KeptRows
    y: Tensor
    addend: Tensor | None = None
    mask: Tensor | None = None
    step: int = 0
    """Of the program."""

    @property
    def beside(self) -> list[Tensor]:
        """Side operands."""
        return [tensor for tensor in (self.addend, self.mask) if tensor is not None]


@dataclass(frozen=True)
class Work:
    """A program of the vector unit, or a PRUNE, which may come after RUN `after` has been sent."""

    program: VectorProgram | Share
    after: int
    step: int
    """Of the program."""


@dataclass(frozen=True)
class Move:
    """A load, or a page of column settings, which may come after RUN `after` has been sent, and
    must before RUN `before`."""

    load: Load | Setting
    indices: Load | None
    """Of the same slots, where the load is of values."""
    rows: list[Rows] | list[Dense] | list[Fill]
    """What brings them, where they come from a tensor."""
    part: Part
    after: int
    before: int

    @property
    def engine(self) -> Engine:
        rows = isinstance(self.load, Load) and self.load.target is Target.ACTIVATIONS
        return Engine.ROWS if rows else Engine.FILL


class Sequence:
    """Sends RUNs, moves, programs of the vector unit and copies; `place` gives the place in tensor
    memory of some content, whole words, and the COPY that must bring it there, if one must."""

    def __init__(self, config: Config, place: Callable[[bytes], tuple[int, Copy | None]]):
        self.config, self._place = config, place
        self._waits = Waits(config)
        self._image: Image | None = None
        """That is in force."""
        self._side: Side | None = None
        """As the device has it: before the first one, from whatever ran there before."""
        self._commands: list[Command] = []
        self._copies = Pending(())

    def commands(
        self,
        runs: list[tuple[Part, Sent]],
        moves: Iterable[Move],
        works: Iterable[Work],
        copies: Iterable[Transfer] = (),
    ) -> list[Command]:
        """All commands: RUNs in their order, and the moves of each engine, the programs of the
        vector unit and the copies in theirs; copies into tensor memory when somebody takes them."""
        self._copies = Pending(copies)
        queues = {engine: _in_time(moves, engine) for engine in (Engine.FILL, Engine.ROWS)}
        sent = {engine: deque() for engine in queues}  # RUNs that need what was sent early
        waiting = deque(works)
        for number, run in enumerate(runs):
            while waiting and waiting[0].after < number:
                self._vector(waiting.popleft())
            self._copy(self._copies.outward(number - BEHIND))
            for early in sent.values():
                while early and early[0] <= number:
                    early.popleft()
            # What is needed first comes first, whose engine's it is: from external memory both
            # come the same way.
            while due := [e for e in queues if _due(queues[e], number, len(sent[e]))]:
                engine = min(due, key=lambda each: queues[each][0].before)
                move = queues[engine].popleft()
                sent[engine] += [move.before] * max(1, len(move.rows))
                self._move(move)
            self._send(*run)
        for work in waiting:
            self._vector(work)
        self._copy(self._copies.rest())
        return self._commands

    def _move(self, move: Move) -> None:
        if isinstance(move.load, Setting):
            self._settings(move.part, move.load)
        elif move.engine is Engine.ROWS:
            self._rows(move)
        elif move.rows:
            self._dense(move)
        else:
            self._commands.append(self._fill(move.part.encoder, move.load, move.indices))

    def _settings(self, part: Part, setting: Setting) -> None:
        encoder, row = part.encoder, part.encoder.settings.row
        target, count = FILL_SETTINGS, self.config.columns
        if row is None:
            source, words = self._constant(encoder.settings_payload(setting))
            reads = range(source, source + words)
        else:
            reads = encoder.settings.words(setting.column_block)
            self._copy(self._copies.before(part.step, [reads]))
            target = FILL_BIASES
            count = min(count, len(reads) * self.config.group_bytes // BIAS_BYTES)
        fill = Fill(
            target=target,
            address=setting.page,
            count=count,
            source=reads.start,
            words=len(reads),
            waits=self._waits.move(Engine.FILL, (), [reads], settings=setting.page),
        )
        self._commands.append(fill)

    def _fill(self, encoder: Encoder, load: Load, indices: Load | None) -> Fill:
        source, words = self._constant(encoder.payload(load))
        beside, more = self._constant(encoder.payload(indices)) if indices else (0, 0)
        filled = range(load.address, load.address + len(load.words))
        targets = [load.target, *([Target.INDICES] if indices else [])]
        return Fill(
            target=load.target,
            address=load.address,
            count=len(load.words),
            source=source,
            words=words,
            indices=beside,
            index_words=more,
            waits=self._waits.move(
                Engine.FILL,
                [(target, filled) for target in targets],
                [range(source, source + words), range(beside, beside + more)],
            ),
        )

    def _rows(self, move: Move) -> None:
        image = move.part.x.image
        if self._image != image:
            self._image = image
            # It goes through the movers' queue, where it is counted.
            self._waits.move(Engine.ROWS, (), ())
            self._commands.append(image)
        for rows in move.rows:
            self._brought(move, rows, rows.groups, Target.ACTIVATIONS)

    def _dense(self, move: Move) -> None:
        for rows in move.rows:
            # Of a DENSE slots come in whole groups.
            whole = self.config.group if isinstance(rows, Dense) else 1
            slots = -(-rows.count // whole) * whole
            both = move.load.target is Target.VALUES
            self._brought(move, rows, slots, *[Target.VALUES] * both, Target.INDICES)

    def _brought(self, move: Move, rows: Rows | Dense | Fill, count: int, *targets: Target) -> None:
        """Words of a tensor into `count` words of some buffers."""
        reads = read_by(rows)
        filled = range(rows.address, rows.address + count)
        self._copy(self._copies.before(move.part.step, reads))
        fills = [(target, filled) for target in targets]
        waits = self._waits.move(move.engine, fills, reads)
        self._commands.append(replace(rows, waits=waits))

    def _vector(self, work: Work) -> None:
        program = work.program
        self._copy(self._copies.before(work.step, [*program.reads, *program.writes]))
        address, reads = 0, program.reads
        if isinstance(program, VectorProgram):
            address, _ = self._constant(program.content)
            reads = [program.program(address), *reads]
        waits = self._waits.passes(Engine.VECTOR, reads, program.writes)
        self._commands.append(program.command(address, waits))

    def _copy(self, transfers: Iterable[Transfer]) -> None:
        for transfer in transfers:
            touched = [transfer.words]
            reads, writes = (touched, []) if transfer.copy.outward else ([], touched)
            waits = self._waits.passes(Engine.COPY, reads, writes)
            self._commands.append(replace(transfer.copy, waits=waits))

    def _constant(self, content: bytes) -> tuple[int, int]:
        """The first of the words that have this content, and how many they are."""
        content += bytes(-len(content) % self.config.stream_bytes)
        address, copy = self._place(content)
        words = len(content) // self.config.stream_bytes
        if copy is not None:
            waits = self._waits.passes(Engine.COPY, (), [range(address, address + words)])
            self._commands.append(replace(copy, waits=waits))
        return address, words

    def _send(self, part: Part, sent: Sent) -> None:
        encoder, y, config, run = part.encoder, part.y, self.config, sent.run
        if run.takes:
            self._place_side({"held": run.takes[0], "held_step": run.takes[1]})
        further = run.activations()[1:]
        uses = [*run.reads.items(), *((Target.ACTIVATIONS, block) for block in further)]
        if not run.finish:
            self._commands.append(replace(encoder.run(sent), waits=self._waits.run(uses)))
            return
        tile = run.row_blocks, run.column_block
        touched = [words for tensor in (y, *part.beside) for words in tensor.tile(*tile)]
        self._copy(self._copies.before(part.step, touched))
        destination, words, pitch = y.stretch(run.row_blocks)
        column = run.column_block * config.columns
        reads = [words for tensor in part.beside for words in tensor.tile(*tile)]
        if part.beside or encoder.output is OutputFormat.RAW:
            self._place_beside(part, destination, run.row_blocks)
        self._commands.append(
            replace(
                encoder.run(sent),
                store=1,
                pad=int(column + config.columns >= y.columns),
                addend=int(part.addend is not None),
                raw_addend=int(isinstance(part.addend, RawTensor)),
                mask=int(part.mask is not None),
                destination=destination,
                words=words,
                pitch=pitch,
                groups=y.groups,
                offset=column * y.bits // 8,
                waits=self._waits.run(uses, y.tile(*tile), sent.settings_page, reads),
            )
        )

    def _place_beside(self, part: Part, destination: int, row_blocks: range) -> None:
        """A SIDE for a RUN, if the device does not know that already."""
        fields, size = {}, self.config.tensor_words
        if addend := part.addend:
            first, words, pitch = addend.stretch(row_blocks)
            fields |= {
                "addend_offset": (first - destination) % size,
                "addend_words": words,
                "addend_pitch": pitch,
                "addend_groups": addend.groups,
                "addend_plane": addend.plane if isinstance(addend, RawTensor) else 0,
            }
        if mask := part.mask:
            first, _, _ = mask.stretch(row_blocks)
            fields["mask_offset"] = (first - destination) % size
        if isinstance(part.y, RawTensor):
            fields["output_plane"] = part.y.plane
        self._place_side(fields)

    def _place_side(self, fields: dict[str, int]) -> None:
        side = replace(self._side or Side(), **fields)
        if side != self._side:
            self._side = side
            self._commands.append(side)


def read_by(command: Rows | Dense | Fill) -> list[range]:
    """Words of tensor memory that a move reads."""
    words = [range(command.source, command.source + command.words)]
    if isinstance(command, Fill):
        words.append(range(command.indices, command.indices + command.index_words))
    return words


def _due(queue: deque[Move], number: int, early: int) -> bool:
    """The next move must be sent before RUN `number`, or may, as one of those that are early."""
    if not queue:
        return False
    return queue[0].before <= number or (queue[0].after < number and early < AHEAD)


def _in_time(moves: Iterable[Move], engine: Engine) -> deque[Move]:
    """An engine's moves in their order, each before all that a later one must come before."""
    queue: deque[Move] = deque()
    for move in reversed([move for move in moves if move.engine is engine]):
        before = min(move.before, queue[0].before) if queue else move.before
        queue.appendleft(replace(move, before=before))
    return queue
