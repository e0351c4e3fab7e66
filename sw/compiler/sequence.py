"""The commands of a program in the order in which they are sent.

The engines work beside each other, each through its queue, so that order matters little: a load
stands some places before the RUN that needs it, also before RUNs of the product before, but never
before what it waits for.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.commands import FILL_SETTINGS, Command, Fill, Image, Rows, Side, Target
from ...hw.isa.engines import Engine
from .encoding import Encoder
from .steps import Load, Run, Sent, Setting
from .tensors import RawTensor, Tensor
from .vector_programs import VectorProgram
from .waits import Waits
from .walks import Walk

AHEAD = 6
"""Loads of an engine that are sent before they are needed: fewer than its queue holds."""


@dataclass(frozen=True)
class Part:
    """What the commands of one product need to know of it."""

    encoder: Encoder
    x: Walk
    y: Tensor
    addend: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Move:
    """A load, or a page of column settings, which may come after RUN `after` has been sent, and
    must before RUN `before`."""

    load: Load | Setting
    indices: Load | None
    """Of the same slots, where the load is of values."""
    part: Part
    after: int
    before: int

    @property
    def engine(self) -> Engine:
        rows = isinstance(self.load, Load) and self.load.target is Target.ACTIVATIONS
        return Engine.ROWS if rows else Engine.FILL


class Sequence:
    """Sends RUNs and moves; `constant` gives the place in tensor memory of some content."""

    def __init__(self, config: Config, constant: Callable[[bytes], tuple[int, int]]):
        self.config, self._constant = config, constant
        self._waits = Waits(config)
        self._image: Image | None = None
        """That is in force."""
        self._side: Side | None = None
        """As the device has it: before the first one, from whatever ran there before."""
        self._commands: list[Command] = []

    def commands(
        self, runs: list[tuple[Part, Sent] | VectorProgram], moves: Iterable[Move]
    ) -> list[Command]:
        """All commands: RUNs and programs of the vector unit, which count as one, in their order,
        and the moves of each engine in theirs."""
        queues = {engine: _in_time(moves, engine) for engine in (Engine.FILL, Engine.ROWS)}
        sent = {engine: deque() for engine in queues}  # RUNs that need what was sent early
        for number, run in enumerate(runs):
            for engine, queue in queues.items():
                early = sent[engine]
                while early and early[0] <= number:
                    early.popleft()
                while queue and (
                    queue[0].before <= number or (queue[0].after < number and len(early) < AHEAD)
                ):
                    move = queue.popleft()
                    early.append(move.before)
                    self._move(move)
            if isinstance(run, VectorProgram):
                self._vector(run)
            else:
                self._send(*run)
        return self._commands

    def _move(self, move: Move) -> None:
        if isinstance(move.load, Setting):
            self._commands.append(self._fill_settings(move.part.encoder, move.load))
        elif move.engine is Engine.ROWS:
            self._commands += self._rows(move.load, move.part.x)
        else:
            self._commands.append(self._fill(move.part.encoder, move.load, move.indices))

    def _fill_settings(self, encoder: Encoder, setting: Setting) -> Fill:
        source, words = self._constant(encoder.settings_payload(setting))
        return Fill(
            target=FILL_SETTINGS,
            address=setting.page,
            count=self.config.columns,
            source=source,
            words=words,
            waits=self._waits.move(
                Engine.FILL, (), [range(source, source + words)], settings=setting.page
            ),
        )

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

    def _rows(self, load: Load, x: Walk) -> Iterator[Image | Rows]:
        if self._image != x.image:
            self._image = x.image
            # It goes through the movers' queue, where it is counted.
            self._waits.move(Engine.ROWS, (), ())
            yield x.image
        codes = load.words.ravel()
        # Words that follow each other in one row block are one descriptor.
        cuts = np.flatnonzero((np.diff(codes) != 1) | (codes[1:] % x.groups == 0)) + 1
        for first, stop in zip([0, *cuts], [*cuts, len(codes)], strict=True):
            block, group = divmod(int(codes[first]), x.groups)
            count, address = int(stop - first), load.address + int(first)
            rows = x.rows(block, group, count, address)
            reads = range(rows.source, rows.source + rows.words)
            filled = [(Target.ACTIVATIONS, range(address, address + count))]
            yield replace(rows, waits=self._waits.move(Engine.ROWS, filled, [reads]))

    def _vector(self, program: VectorProgram) -> None:
        address, _ = self._constant(program.content)
        reads = [program.program(address), *program.reads]
        waits = self._waits.vector(reads, program.writes)
        self._commands.append(program.command(address, waits))

    def _send(self, part: Part, sent: Sent) -> None:
        encoder, y, config, run = part.encoder, part.y, self.config, sent.run
        further = run.activations()[1:]
        uses = [*run.reads.items(), *((Target.ACTIVATIONS, block) for block in further)]
        if not run.finish:
            self._commands.append(replace(encoder.run(sent), waits=self._waits.run(uses)))
            return
        windows = self._windows(run, y)
        destination = y.address + windows.start * y.groups
        column = run.column_block * config.columns
        beside = [tensor for tensor in (part.addend, part.mask) if tensor]
        reads = [words for tensor in beside for words in self._words(run, tensor)]
        if beside or encoder.output is OutputFormat.RAW:
            self._place_beside(part, destination, windows)
        self._commands.append(
            replace(
                encoder.run(sent),
                store=1,
                pad=int(column + config.columns >= y.columns),
                addend=int(part.addend is not None),
                raw_addend=int(isinstance(part.addend, RawTensor)),
                mask=int(part.mask is not None),
                destination=destination,
                words=len(windows) * y.groups,
                pitch=y.groups,
                groups=y.groups,
                offset=column * y.bits // 8,
                waits=self._waits.run(uses, self._words(run, y), sent.settings_page, reads),
            )
        )

    def _windows(self, run: Run, tensor: Tensor) -> range:
        """Those of a tensor that hold the RUN's rows."""
        each = self.config.rows // self.config.lanes
        return range(run.row_blocks.start * each, min(run.row_blocks.stop * each, tensor.windows))

    def _words(self, run: Run, tensor: Tensor) -> list[range]:
        """Those of a tensor that hold the RUN's rows and columns, in all planes of a RAW one."""
        columns, size = self.config.columns, 8 * self.config.group_bytes
        first = run.column_block * columns * tensor.bits // size
        stop = -(-(run.column_block + 1) * columns * tensor.bits // size)
        groups = range(first, min(stop, tensor.groups))
        raw = isinstance(tensor, RawTensor)
        planes = range(0, tensor.space, tensor.plane) if raw else (0,)
        rows = (
            tensor.address + plane + window * tensor.groups
            for plane in planes
            for window in self._windows(run, tensor)
        )
        return [range(row + groups.start, row + groups.stop) for row in rows]

    def _place_beside(self, part: Part, destination: int, windows: range) -> None:
        """A SIDE for a RUN, if the device does not know that already."""
        fields, size = {}, self.config.tensor_words
        if addend := part.addend:
            first = addend.address + windows.start * addend.groups
            fields |= {
                "addend_offset": (first - destination) % size,
                "addend_words": len(windows) * addend.groups,
                "addend_pitch": addend.groups,
                "addend_groups": addend.groups,
                "addend_plane": addend.plane if isinstance(addend, RawTensor) else 0,
            }
        if mask := part.mask:
            first = mask.address + windows.start * mask.groups
            fields["mask_offset"] = (first - destination) % size
        if isinstance(part.y, RawTensor):
            fields["output_plane"] = part.y.plane
        side = replace(self._side or Side(), **fields)
        if side != self._side:
            self._side = side
            self._commands.append(side)


def _in_time(moves: Iterable[Move], engine: Engine) -> deque[Move]:
    """An engine's moves in their order, each before all that a later one must come before."""
    queue: deque[Move] = deque()
    for move in reversed([move for move in moves if move.engine is engine]):
        before = min(move.before, queue[0].before) if queue else move.before
        queue.appendleft(replace(move, before=before))
    return queue
