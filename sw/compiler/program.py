"""Programs: products whose operands and results stay in tensor memory.

A program is a list of commands and what lies in memory before it runs: the weights. Tiles follow
each other as in the host's own products (`plan`); a load becomes a FILL of words that were put
there, or a ROWS of the tensor that is multiplied, and a RUN stores its rows in the result.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.commands import Command, Target
from ...hw.isa.host_stream import packet_of
from ..errors import FormatError
from . import orders
from .encoding import Encoder
from .packing import PackedWeights
from .plan import phases_of
from .sequence import Move, Part, Sequence
from .settings import Settings
from .steps import Load, Page, Phase, Run
from .tensors import Tensor
from .walks import Images, Kernel, Walk

TOGETHER = 64
"""Commands in a packet, at most."""


@dataclass(frozen=True)
class Program:
    """Commands, and the words that must be in tensor memory before."""

    config: Config
    commands: list[Command]
    image: list[tuple[int, bytes]]
    """Address and content, whole words."""

    def packets(self) -> list[bytes]:
        """The commands, many in a packet: each is answered once, for its last or a refused one."""
        made = [packet_of(self.config, c, tag=n) for n, c in enumerate(self.commands)]
        return [b"".join(made[at : at + TOGETHER]) for at in range(0, len(made), TOGETHER)]


class Builder:
    """Puts a program together, product by product."""

    def __init__(self, config: Config):
        if not config.tensor_words:
            raise FormatError(
                f"the device {config.name!r} has no tensor memory for a program: build one with "
                "tensor_words"
            )
        self.config = config
        self._runs: list[tuple[Part, Run]] = []
        self._moves: list[Move] = []
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
        if (x.columns, y.columns) != weights.shape or x.rows != y.rows:
            raise FormatError(
                f"[{x.rows}, {x.columns}] times {list(weights.shape)} is no [{y.rows}, {y.columns}]"
            )
        self._multiply(Walk.matrix(self.config, x), weights, settings, relu, output, y)

    def convolution(
        self,
        x: Images,
        kernel: Kernel,
        weights: PackedWeights,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
        y: Images,
    ) -> None:
        """The same for the rows that `kernel` makes of images (`walks.as_matrix` has the weights).

        Raises `FormatError` for images of other shapes or elements, for what the device has no
        counters for, and if the memory is full.
        """
        walk = Walk.convolution(self.config, x, kernel)
        shape = walk.groups * self.config.group, y.tensor.columns
        if weights.shape != shape or (y.count, y.height, y.width) != (x.count, *kernel.out(x)):
            raise FormatError(
                f"{x} under {kernel} needs weights of {list(shape)}, not {list(weights.shape)}, "
                f"and makes images of {list(kernel.out(x))} pixels, not {y}"
            )
        self._multiply(walk, weights, settings, relu, output, y.tensor)

    def _multiply(
        self,
        x: Walk,
        weights: PackedWeights,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
        y: Tensor,
    ) -> None:
        config = self.config
        if x.tensor.bits != config.format.bits or y.bits != 8 * output.bytes:
            raise FormatError(
                f"elements of {x.tensor.bits} bits cannot be multiplied in {config.format.name}, "
                f"or results in {output.name} be stored in {y.bits} bits"
            )
        part = Part(Encoder(config, settings, relu, output), x, y)
        blocks = -(-y.rows // config.rows)
        # A word of the activations' buffer is known by its place among all rows' groups.
        codes = np.arange(blocks * x.groups).reshape(blocks, x.groups, 1, 1)
        for phase in phases_of(orders.Product(config, codes, weights, output), settings):
            self._phase(part, phase)
        self._last_store[y.address] = len(self._runs) - 1

    def program(self) -> Program:
        """All products so far, one after another. Raises `FormatError` if the memory is full."""
        commands = Sequence(self.config, self._constant).commands(self._runs, self._moves)
        return Program(self.config, commands, list(self._image))

    def _phase(self, part: Part, phase: Phase) -> None:
        """Its RUNs, each row block by itself the first time, and what they must find loaded."""
        runs, begun = [], set()
        for run in phase.runs:
            fresh = run.pages[0] not in begun
            begun.add(run.pages[0])
            runs += _row_by_row(run) if fresh else [run]
        first = len(self._runs)
        for load, indices in _paired(phase.loads):
            after = self._last_use.get(load.page, -1)
            if load.target is Target.ACTIVATIONS:
                after = max(after, self._last_store.get(part.x.tensor.address, -1))
            # What no RUN of this phase reads, one of a later phase may.
            using = (number for number, run in enumerate(runs) if _uses(run, load))
            needed = first + next(using, len(runs) - 1)
            self._moves.append(Move(load, indices, part, after, needed))
        self._runs += [(part, run) for run in runs]
        for number, run in enumerate(runs):
            self._last_use |= dict.fromkeys(run.pages, first + number)

    def _constant(self, content: bytes) -> tuple[int, int]:
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


def _uses(run: Run, load: Load) -> bool:
    """Whether the RUN reads some of what is loaded; of a panel, any of its row blocks."""
    if load.target is Target.ACTIVATIONS:
        blocks = run.activations()
        reads = range(blocks[0].start, blocks[-1].stop)
    else:
        reads = run.reads[Target.VALUES if load.target is Target.INDICES else load.target]
    return reads.start < load.address + len(load.words) and load.address < reads.stop


def _row_by_row(run: Run) -> Iterator[Run]:
    """The RUN as one for each of its row blocks: it need not wait for the last one's rows."""
    for block, activations in zip(run.row_blocks, run.activations(), strict=True):
        yield replace(
            run,
            row_blocks=range(block, block + 1),
            fields=run.fields | {"activation_base": activations.start, "row_blocks": 1},
            reads=run.reads | {Target.ACTIVATIONS: activations},
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
