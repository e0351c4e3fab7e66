"""Programs: products whose operands and results stay in tensor memory.

A program is a list of commands and what lies in memory before it runs: the weights. Tiles follow
each other as in the host's own products (`plan`); a load becomes a FILL of words that were put
there, or a ROWS of the tensor that is multiplied, and a RUN stores its rows in the result.

The engines work beside each other, each through its queue, so the order of the commands matters
little: a load stands some places before the RUN that needs it, also before RUNs of the product
before, but never before what it waits for.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.commands import Command, Fill, Rows, Target
from ...hw.isa.engines import Engine
from ...hw.isa.host_stream import packet_of
from ..errors import FormatError
from . import orders
from .encoding import Encoder
from .packing import PackedWeights
from .plan import phases_of
from .settings import Settings
from .steps import Load, Page, Phase, Run, Sent, Setting
from .tensors import Tensor
from .waits import Waits

TOGETHER = 64
"""Commands in a packet, at most."""


@dataclass
class Program:
    """Commands, and the words that must be in tensor memory before."""

    config: Config
    commands: list[Command] = field(default_factory=list)
    image: list[tuple[int, bytes]] = field(default_factory=list)
    """Address and content, whole words."""

    def packets(self) -> list[bytes]:
        """The commands, many in a packet: each is answered once, for its last or a refused one."""
        made = [packet_of(self.config, c, tag=n) for n, c in enumerate(self.commands)]
        return [b"".join(made[at : at + TOGETHER]) for at in range(0, len(made), TOGETHER)]


AHEAD = 6
"""Loads of an engine that are sent before they are needed: fewer than its queue holds."""


@dataclass(frozen=True)
class _Product:
    """What a RUN's command needs to know of its product."""

    encoder: Encoder
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class _Move:
    """A load, which may come after RUN `after` has been sent, and must before RUN `before`."""

    load: Load
    indices: Load | None
    product: _Product
    after: int
    before: int


class Builder:
    """Puts a program together, product by product."""

    def __init__(self, config: Config):
        if not config.tensor_words:
            raise FormatError(
                f"the device {config.name!r} has no tensor memory for a program: build one with "
                "tensor_words"
            )
        self.config = config
        self._runs: list[tuple[_Product, Run]] = []
        self._moves: dict[Engine, list[_Move]] = {Engine.FILL: [], Engine.ROWS: []}
        self._last_use: dict[Page, int] = {}
        self._last_store: dict[int, int] = {}
        """By a tensor's address, the RUN that was the last to store in it."""
        self._constants: dict[bytes, int] = {}
        self._image: list[tuple[int, bytes]] = []
        # Two reads a cycle need operands in different halves: tensors from below, weights from the
        # top.
        self._tensors, self._weights = 0, config.tensor_words

    def tensor(self, rows: int, columns: int, bits: int | None = None) -> Tensor:
        """A new tensor, of the format's elements or of so many bits each.

        Raises `FormatError` if the memory is full.
        """
        made = Tensor(self.config, self._tensors, rows, columns, bits or self.config.format.bits)
        self._tensors += made.space
        self._check(f"a tensor of {rows:,} x {columns:,} elements does not fit")
        return made

    def product(
        self,
        x: Tensor,
        weights: PackedWeights,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
        y: Tensor,
    ) -> None:
        """``y = round(relu?((x @ weights + bias) * scale))``, with bias and scale of `settings`.

        Raises `FormatError` for tensors of other shapes or elements, and if the memory is full.
        """
        config = self.config
        if (x.columns, y.columns) != weights.shape or x.rows != y.rows:
            raise FormatError(
                f"[{x.rows}, {x.columns}] times {list(weights.shape)} is no [{y.rows}, {y.columns}]"
            )
        if x.bits != config.format.bits or y.bits != 8 * output.bytes:
            raise FormatError(
                f"elements of {x.bits} bits cannot be multiplied in {config.format.name}, or "
                f"results in {output.name} be stored in {y.bits} bits"
            )
        product = _Product(Encoder(config, settings, relu, output), x, y)
        blocks = -(-x.rows // config.rows)
        # A word of the activations' buffer is known by where it lies in the tensor.
        codes = np.arange(blocks * x.groups).reshape(blocks, x.groups, 1, 1)
        for phase in phases_of(orders.Product(config, codes, weights, output), settings):
            self._phase(product, phase)
        self._last_store[y.address] = len(self._runs) - 1

    def program(self) -> Program:
        """All products so far, one after another. Raises `FormatError` if the memory is full."""
        return _Sequence(self).program()

    def _phase(self, product: _Product, phase: Phase) -> None:
        """Its RUNs, each row block by itself the first time, and what they must find loaded."""
        runs, begun = [], set()
        for run in phase.runs:
            fresh = run.pages[0] not in begun
            begun.add(run.pages[0])
            runs += _row_by_row(run) if fresh else [run]
        first = len(self._runs)
        for load, indices in _paired(phase.loads):
            activations = load.target is Target.ACTIVATIONS
            after = self._last_use.get(load.page, -1)
            if activations:
                after = max(after, self._last_store.get(product.x.address, -1))
            needed = next(n for n, run in enumerate(runs) if _uses(run, load))
            move = _Move(load, indices, product, after, first + needed)
            self._moves[Engine.ROWS if activations else Engine.FILL].append(move)
        self._runs += [(product, run) for run in runs]
        for number, run in enumerate(runs):
            self._last_use |= dict.fromkeys(run.pages, first + number)

    def constant(self, content: bytes) -> tuple[int, int]:
        """The first of the words that have this content, and how many they are."""
        content += bytes(-len(content) % self.config.stream_bytes)
        words = len(content) // self.config.stream_bytes
        if content not in self._constants:
            self._weights -= words
            self._check("the weights do not fit")
            self._constants[content] = self._weights
            self._image.append((self._weights, content))
        return self._constants[content], words

    def _check(self, what: str) -> None:
        if self._tensors > self._weights:
            missing = self._tensors - self._weights
            raise FormatError(
                f"{what}: the tensor memory of {self.config.name!r} has "
                f"{self.config.tensor_words:,} words, the program needs {missing:,} more; build "
                "one with more tensor_words"
            )


class _Sequence:
    """The commands of all products, in the order in which they are sent."""

    def __init__(self, builder: Builder):
        self.builder, self.config = builder, builder.config
        self._waits = Waits(self.config)
        self._settings = _SettingsRing(self.config.settings_pages)
        self.commands: list[Command] = []

    def program(self) -> Program:
        queues = {engine: deque(moves) for engine, moves in self.builder._moves.items()}
        sent = {engine: deque() for engine in queues}  # RUNs that need what was sent early
        for number, (product, run) in enumerate(self.builder._runs):
            for engine, queue in queues.items():
                early = sent[engine]
                while early and early[0] <= number:
                    early.popleft()
                while queue and (
                    queue[0].before <= number or (queue[0].after < number and len(early) < AHEAD)
                ):
                    move = queue.popleft()
                    early.append(move.before)
                    self.commands += self._moved(engine, move)
            self._send(product, run)
        return Program(self.config, self.commands, self.builder._image)

    def _moved(self, engine: Engine, move: _Move) -> Iterator[Command]:
        if engine is Engine.ROWS:
            return self._rows(move.load, move.product.x)
        return iter([self._fill(move.product.encoder, move.load, move.indices)])

    def _fill(self, encoder: Encoder, load: Load, indices: Load | None) -> Fill:
        source, words = self.builder.constant(encoder.payload(load))
        beside, more = self.builder.constant(encoder.payload(indices)) if indices else (0, 0)
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

    def _rows(self, load: Load, x: Tensor) -> Iterator[Rows]:
        config, windows = self.config, self.config.rows // self.config.lanes
        codes = load.words.ravel()
        # Words that follow each other in one row block are one descriptor.
        cuts = np.flatnonzero((np.diff(codes) != 1) | (codes[1:] % x.groups == 0)) + 1
        for first, stop in zip([0, *cuts], [*cuts, len(codes)], strict=True):
            block, group = divmod(int(codes[first]), x.groups)
            count, address = int(stop - first), load.address + int(first)
            source = x.address + block * windows * x.groups + group
            reads = [
                range(source + window * x.groups, source + window * x.groups + count)
                for window in range(windows)
            ]
            filled = [(Target.ACTIVATIONS, range(address, address + count))]
            yield Rows(
                source=source,
                pitch=x.groups,
                groups=count,
                rows=min(config.rows, x.rows - block * config.rows),
                address=address,
                waits=self._waits.move(Engine.ROWS, filled, reads),
            )

    def _send(self, product: _Product, run: Run) -> None:
        """A RUN, and its settings before it if they are not on the device."""
        encoder, y, config = product.encoder, product.y, self.config
        uses = list(run.reads.items())
        base, stride = run.reads[Target.ACTIVATIONS], run.fields["activation_stride"]
        for block in range(1, len(run.row_blocks)):
            further = range(base.start + block * stride, base.stop + block * stride)
            uses.append((Target.ACTIVATIONS, further))
        if not run.finish:
            command = replace(encoder.run(Sent(run, 0)), waits=self._waits.run(uses))
            self.commands.append(command)
            return
        block = 0 if encoder.settings.uniform else run.column_block
        page, fresh = self._settings.place((product, block))
        if fresh:
            wide = min(config.columns, y.columns - block * config.columns)
            count = 1 if encoder.settings.uniform else wide
            self.commands += encoder.settings_of(Setting(block, page, count))
        windows = config.rows // config.lanes
        first = run.row_blocks.start * windows
        stop = min(run.row_blocks.stop * windows, y.windows)
        destination, words = y.address + first * y.groups, (stop - first) * y.groups
        column = run.column_block * config.columns
        self.commands.append(
            replace(
                encoder.run(Sent(run, page)),
                store=1,
                pad=int(column + config.columns >= y.columns),
                destination=destination,
                words=words,
                pitch=y.groups,
                groups=y.groups,
                offset=column * y.bits // 8,
                waits=self._waits.run(uses, range(destination, destination + words)),
            )
        )


class _SettingsRing:
    """Which settings each page of them holds: the page that was set the longest ago is next."""

    def __init__(self, pages: int):
        self._held: dict[object, int] = {}
        self._pages, self._next = pages, 0

    def place(self, settings: object) -> tuple[int, bool]:
        """Their page, and whether they must be sent."""
        if settings in self._held:
            return self._held[settings], False
        page, self._next = self._next, (self._next + 1) % self._pages
        self._held = {key: held for key, held in self._held.items() if held != page}
        self._held[settings] = page
        return page, True


def _uses(run: Run, load: Load) -> bool:
    """Whether the RUN reads some of what is loaded; of a panel, any of its row blocks."""
    target = Target.VALUES if load.target is Target.INDICES else load.target
    reads, stride = run.reads[target], 0
    if target is Target.ACTIVATIONS:
        stride = run.fields["activation_stride"] * (len(run.row_blocks) - 1)
    loaded = range(load.address, load.address + len(load.words))
    return reads.start < loaded.stop and loaded.start < reads.stop + stride


def _row_by_row(run: Run) -> Iterator[Run]:
    """The RUN as one for each of its row blocks: it need not wait for the last one's rows."""
    stride, reads = run.fields["activation_stride"], run.reads[Target.ACTIVATIONS]
    for number, block in enumerate(run.row_blocks):
        first = reads.start + number * stride
        fields = run.fields | {"activation_base": first, "row_blocks": 1}
        ranges = run.reads | {Target.ACTIVATIONS: range(first, first + len(reads))}
        yield replace(
            run,
            row_blocks=range(block, block + 1),
            fields=fields,
            reads=ranges,
            cycles=run.cycles // len(run.row_blocks),
        )


def _paired(loads: list[Load]) -> Iterator[tuple[Load, Load | None]]:
    """The loads, but values with the indices of the same slots, if those come just before."""
    held: Load | None = None
    for load in loads:
        pairs = (
            held is not None
            and load.target is Target.VALUES
            and (held.address, len(held.words)) == (load.address, len(load.words))
        )
        if held is not None and not pairs:
            yield held, None
        if load.target is Target.INDICES:
            held = load
            continue
        yield load, held if pairs else None
        held = None
    if held is not None:
        yield held, None
