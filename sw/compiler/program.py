"""Programs: products whose operands and results stay in tensor memory.

A program is a list of commands and what lies in memory before it runs: the weights. Tiles follow
each other as in the host's own products (`plan`); a load becomes a FILL of words that were put
there, or a ROWS of the tensor that is multiplied, and a RUN stores its rows in the result.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.codes import Target
from ...hw.isa.commands import Command
from ...hw.isa.descriptors import Dense, Fill, Rows
from ...hw.isa.host_stream import packet_of
from ..errors import FormatError
from . import kept, orders
from .allocator import Allocator, ExternalAllocator
from .bounds import terms_of
from .encoding import Encoder
from .external import ExternalTensor, Piece, words_of
from .gradients import Across, DenseRows
from .history import NOBODY, History
from .kept import Grouped, KeptRows
from .packing import PackedWeights
from .plan import phases_of
from .pruning import PrunedWeights, Pruning, Share
from .runs import ordered, paired, row_by_row, uses
from .sequence import Move, Part, Sequence, Work, read_by
from .settings import Settings
from .steps import PAGES, Page, Phase, Sent, Setting
from .stream import Stream
from .tensors import RawTensor, Tensor
from .transfers import Transfer
from .transposed import SpreadTensor
from .vector_program import VectorProgram
from .walks import Images, Kernel, Walk
from .windows import Windows

TOGETHER = 64
"""Commands in a packet, at most."""
AnyTensor = TypeVar("AnyTensor", bound=Tensor)


@dataclass(frozen=True)
class Program:
    """Commands, and the words that must be in tensor memory before, and in external memory."""

    config: Config
    commands: list[Command]
    image: list[tuple[int, bytes]]
    """Address and content, whole words."""
    external: list[tuple[int, bytes]] = field(default_factory=list)

    def packets(self) -> list[bytes]:
        """The commands, many in a packet: each is answered once, for its last or a refused one."""
        made = [packet_of(self.config, c, tag=n) for n, c in enumerate(self.commands)]
        return [b"".join(made[at : at + TOGETHER]) for at in range(0, len(made), TOGETHER)]


class Builder:
    """Puts a program together, product by product.

    If it is `streamed`, weights and all else that does not change lies in external memory, and
    comes from there with every run, into what the tensors leave free: it may be more than fits.
    """

    def __init__(self, config: Config, streamed: bool = False):
        if not config.tensor_words:
            raise FormatError(
                f"the device {config.name!r} has no tensor memory for a program: build one with "
                "tensor_words"
            )
        self.config, self._streamed = config, streamed
        self._runs: list[tuple[Part, Sent]] = []
        self._moves: list[Move] = []
        self._works: list[Work] = []
        self._transfers: list[Transfer] = []
        self._step = 0
        """Of the next product, or program of the vector unit."""
        self._last_use: dict[Page | int, int] = {}
        """By a page, of buffers or of settings."""
        self._settings = SettingsRing(config.settings_pages)
        self._history = History(config.tensor_words)
        self._terms: dict[int, int] = {}
        """By a RAW tensor's address, the products that its sums hold at most."""
        self._constants: dict[bytes, int] = {}
        """Words of tensor memory where contents lie; of external memory, if they are streamed."""
        self._image: list[tuple[int, bytes]] = []
        self._external: list[tuple[int, bytes]] = []
        self._allocator = Allocator(config.name, config.tensor_words)
        self._outside = ExternalAllocator(config)
        if streamed:
            self._outside.check()

    @property
    def taken(self) -> int:
        """Words of tensor memory that the program needs."""
        return self._allocator.taken

    def next(self) -> Self:
        """A builder of a program that runs after this one's, and finds its tensors; this one's must
        have been made."""
        made = type(self)(self.config, self._streamed)
        made._allocator, made._outside, made._terms = self._allocator, self._outside, self._terms
        return made

    def tensor(
        self, rows: int, columns: int, bits: int | None = None, apart: Tensor | None = None
    ) -> Tensor:
        """A new tensor, of the format's elements or of so many bits each; if there is room, in
        another half of the memory than `apart`, so that both can be read in a cycle.

        Raises `FormatError` if the memory is full.
        """
        bits = bits or self.config.format.bits
        return self._placed(Tensor(self.config, 0, rows, columns, bits), apart)

    def raw(self, rows: int, columns: int) -> RawTensor:
        """A new tensor of exact sums, which `product` stores as RAW and takes as an addend.

        Raises `FormatError` if the memory is full.
        """
        return self._placed(RawTensor(self.config, 0, rows, columns))

    def external(
        self, rows: int, columns: int, bits: int | None = None, packed: bool = False
    ) -> ExternalTensor:
        """A new tensor in external memory, of the format's elements or of so many bits each; or
        `packed`, as an array lies there.

        Raises `FormatError` if that memory is full, or there is none.
        """
        like = Tensor(self.config, 0, rows, columns, bits or self.config.format.bits)
        return self._kept_outside(ExternalTensor(self.config, 0, like, packed))

    def external_raw(self, rows: int, columns: int) -> ExternalTensor:
        """A new tensor of exact sums in external memory. Raises `FormatError` as `external`."""
        like = RawTensor(self.config, 0, rows, columns)
        return self._kept_outside(ExternalTensor(self.config, 0, like))

    def copy(self, source: Tensor | ExternalTensor, target: Tensor | ExternalTensor) -> None:
        """Copy a tensor from one memory to the other: what comes later finds it there.

        It goes some row blocks at a time, beside all else. Raises `FormatError` unless one of them
        is in external memory, and both have the same shape and elements.
        """
        if isinstance(source, ExternalTensor) and isinstance(target, Tensor):
            pieces = source.pieces(target, outward=False)
        elif isinstance(source, Tensor) and isinstance(target, ExternalTensor):
            pieces = target.pieces(source, outward=True)
        else:
            raise FormatError("a copy is from one memory to the other, not within one")
        self._transfer(pieces)

    def windows(self, source: ExternalTensor, windows: Windows) -> Images:
        """Lay packed images [pixels, channels] in external memory out as the lines of a
        convolution's windows: what `windows.rest` goes over, with `windows.weights`.

        Raises `FormatError` if a memory is full.
        """
        if windows.border:
            # Out again into zeros: who reads a line finds them beside it.
            bits = source.inside.bits
            columns = windows.width * windows.channels
            lines = self.tensor(windows.lines, columns, bits)
            as_lines = replace(source, inside=replace(lines, address=0))
            framed = self.external(1, windows.bordered, bits, packed=True)
            zeros = bytes(framed.words * self.config.stream_bytes)
            self._external.append((framed.address, zeros))
            self.copy(as_lines, lines)
            copy = windows.bordering(framed, lines)
            piece = Piece(copy, words_of(self.config, copy))
            self._transfer([piece])
            self.free(lines)
            source = framed
        laid = self.tensor(windows.rows, windows.columns, source.inside.bits)
        self._transfer(windows.pieces(source, laid))
        return Images(laid, windows.height, windows.out_width, windows.abreast)

    def _transfer(self, pieces: Iterable[Piece]) -> None:
        """COPYs, each after the one before it and after what touches its words."""
        after = self._transfers[-1].after if self._transfers else NOBODY
        for copy, words in pieces:
            history = self._history
            if copy.outward:
                after = max(after, history.written(words))
                history.read(words, after)
            else:
                after = max(after, history.touched(words))
                history.write(words, after)
            self._transfers.append(Transfer(copy, words, after, self._step))

    def free(self, *tensors: Tensor) -> None:
        """Give back the words of tensors that nothing that comes later takes."""
        for tensor in tensors:
            self._allocator.free(tensor.place)

    def _placed(self, made: AnyTensor, apart: Tensor | None = None) -> AnyTensor:
        what = f"a tensor of {made.rows:,} x {made.columns:,} elements does not fit"
        address = self._allocator.tensor(made.space, what, None if apart is None else apart.place)
        return replace(made, address=address)

    def product(
        self,
        x: Tensor,
        weights: PackedWeights | PrunedWeights,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
        y: Tensor,
        addend: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """``y = round(relu?((x @ weights + bias + addend) * scale))``, with bias and scale of
        `settings`; +0 where `mask` is zero.

        `addend` has the elements that are multiplied, or is RAW; it is added exactly, in the unit
        of the sum (``2**format.product_unit_log2``, times the weights' step if they have one), and
        then scaled with it. `mask` has the output's elements. Either may be `y` itself. With
        `OutputFormat.RAW` the sum with bias and addend is stored as it is, in a `raw` tensor;
        reductions of any length are chains of such products.

        Raises `FormatError` for tensors of other shapes or elements, for sums that might not fit,
        and if the memory is full.
        """
        if (x.columns, y.columns) != weights.shape or x.rows != y.rows:
            raise FormatError(
                f"[{x.rows}, {x.columns}] times {list(weights.shape)} is no [{y.rows}, {y.columns}]"
            )
        walk = Walk.matrix(self.config, x)
        self._multiply(walk, weights, settings, relu, output, y, addend, mask)

    def convolution(
        self,
        x: Images,
        kernel: Kernel,
        weights: PackedWeights | PrunedWeights,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
        y: Images,
        addend: Images | None = None,
        mask: Images | None = None,
    ) -> None:
        """The same for the rows that `kernel` makes of images (`walks.as_matrix` has the weights).

        Raises `FormatError` for images of other shapes or elements, for what the device has no
        counters for, and if the memory is full.
        """
        walk = Walk.convolution(self.config, x, kernel)
        shape = walk.groups * self.config.group, y.tensor.columns
        x.check_abreast(y, addend, mask)
        if weights.shape != shape or (y.count, y.height, y.width) != (x.count, *kernel.out(x)):
            raise FormatError(
                f"{x} under {kernel} needs weights of {list(shape)}, not {list(weights.shape)}, "
                f"and makes images of {list(kernel.out(x))} pixels, not {y}"
            )
        beside = (images and images.tensor for images in (addend, mask))
        self._multiply(walk, weights, settings, relu, output, y.tensor, *beside)

    def vector(self, program: VectorProgram) -> None:
        """A program of the vector unit, after all that came before.

        Raises `FormatError` if the device has none.
        """
        if not self.config.vector_lanes:
            raise FormatError(
                f"the device {self.config.name!r} has no vector unit: build one with vector_lanes"
            )
        self._work(program)

    def pruned(self, masters: Tensor, kept: int, across: bool = True, inputs: int = 0) -> Pruning:
        """Room for the compact weights of `masters`, FP32 [K, C], of which `kept` of every M stay:
        W_ff and, if `across`, W_bp, which `prune` makes. With `inputs`, K, the masters are those
        that are kept (`kept.Compact`), and whoever runs the program brings W_ff's indices.

        Raises `FormatError` for weights that no PRUNE goes through, without a pruner, and if the
        memory is full.
        """
        made = Pruning(masters, kept, 0, across, inputs)
        made.check()
        # Columns of a block that there are not stay what they are at first.
        address = self._allocator.constant(made.space, "the pruned weights do not fit")
        self._image.append((address, bytes(made.space * self.config.stream_bytes)))
        return replace(made, address=address)

    def prune(self, share: Share) -> None:
        """Make compact weights of masters as they are after all that came before."""
        self._work(share)

    def _work(self, program: VectorProgram | Share) -> None:
        """What has its turn at the vector unit."""
        # It is sent as soon as what it reads is under way, and what it overwrites has been read.
        history = self._history
        after = max(
            self._works[-1].after if self._works else NOBODY,
            *map(history.written, program.reads),
            *map(history.touched, program.writes),
        )
        for words in program.writes:
            history.write(words, after)
        for words in program.reads:
            history.read(words, after)
        self._works.append(Work(program, after, self._next_step()))

    def _multiply(
        self,
        x: Walk | Across | Grouped,
        weights: PackedWeights | DenseRows | PrunedWeights | KeptRows,
        settings: Settings,
        relu: bool,
        output: OutputFormat,
        y: Tensor,
        addend: Tensor | None,
        mask: Tensor | None,
        together: int | None = None,
    ) -> None:
        config, raw = self.config, output is OutputFormat.RAW
        if raw != isinstance(y, RawTensor) or raw and (relu or mask is not None):
            raise FormatError(
                "exact sums (OutputFormat.RAW) are stored in a tensor of `raw`, without ReLU and "
                f"mask, and nothing else is: this product has the output {output.name}"
            )
        if x.tensor.bits != config.format.bits or y.bits != output.result_bits:
            raise FormatError(
                f"elements of {x.tensor.bits} bits cannot be multiplied in {config.format.name}, "
                f"or results in {output.name} be stored in {y.bits} bits"
            )
        right = isinstance(weights, DenseRows | KeptRows)
        read = [x.tensor, *([weights.tensor] if right else [])]
        if any(tensor.overlaps(y) for tensor in read):
            raise FormatError("results would lie where rows still to be multiplied do")
        self._check_beside("addend", addend, y, config.format.bits, True)
        self._check_beside("mask", mask, y, output.result_bits, False)
        before = 0 if addend is None else self._terms.get(addend.address, 1)
        self._terms[y.address] = terms_of(weights, settings.biased, before)
        encoder = Encoder(config, settings, relu, output)
        part = Part(encoder, x, weights, y, addend, mask, self._next_step())
        # A page that the product before does not use is filled while that is under way.
        pages = sorted(PAGES, key=lambda page: self._last_use.get(page, -1))
        if isinstance(x, Grouped):
            phases = kept.phases_of(config, x, weights, pages)
        else:
            blocks = y.blocks
            # A word of the activations' buffer is known by its place among all rows' groups.
            codes = np.arange(blocks * x.groups).reshape(blocks, x.groups, 1, 1)
            product = orders.Product(config, codes, weights, output, pages, together)
            phases = phases_of(product, settings)
        for phase in phases:
            self._phase(part, phase)

    def _check_beside(
        self, what: str, tensor: Tensor | None, y: Tensor, bits: int, raw: bool
    ) -> None:
        """That a side operand fits the output, and lies beside it or in its place."""
        if tensor is None:
            return
        if (tensor.rows, tensor.columns) != (y.rows, y.columns):
            raise FormatError(
                f"the {what} is [{tensor.rows}, {tensor.columns}], and the output is "
                f"[{y.rows}, {y.columns}]"
            )
        is_raw = isinstance(tensor, RawTensor)
        if is_raw > raw or not is_raw and tensor.bits != bits:
            raise FormatError(
                f"the {what} has elements of {tensor.bits} bits{', RAW' * is_raw}, not of {bits}"
            )
        if tensor != y and tensor.overlaps(y):
            raise FormatError(f"the {what} and the output lie across each other in memory")

    def program(self) -> Program:
        """All products so far, one after another. Raises `FormatError` if the memory is full."""
        place = self._constant
        if self._streamed:
            place = Stream(self.config, self._allocator.rest(), self._home).place
        commands = Sequence(self.config, place).commands(
            self._runs, self._moves, self._works, self._transfers
        )
        return Program(self.config, commands, list(self._image), list(self._external))

    def _phase(self, part: Part, phase: Phase) -> None:
        """Its RUNs, and what they must find loaded."""
        runs = ordered(self.config, phase)
        if isinstance(part.y, SpreadTensor):
            # A RUN's blocks are one after the other, and these are not.
            runs = [each for run in runs for each in row_by_row(run)]
        first, moves = len(self._runs), []
        brought = DenseRows | PrunedWeights | KeptRows
        there = part.weights if isinstance(part.weights, brought) else None
        # What lies in the memory brings its indices with it; but places come alone.
        alone = not there or isinstance(there, KeptRows)
        loads = [load for load in phase.loads if alone or load.target is not Target.INDICES]
        for load, indices in paired(loads):
            after = self._last_use.get(load.page, -1)
            # What no RUN of this phase reads, one of a later phase may.
            using = (number for number, run in enumerate(runs) if uses(run, load))
            needed = first + next(using, len(runs) - 1)
            rows: list[Rows] | list[Dense] | list[Fill] = []
            if load.target is Target.ACTIVATIONS:
                rows = part.x.fills(load)
            elif there and load.target is not Target.SCHEDULE:
                rows = there.fills(load)
            for words in (words for each in rows for words in read_by(each)):
                after = max(after, self._history.written(words))
                self._history.read(words, needed)
            moves.append(Move(load, indices, rows, part, after, needed))
        for number, run in enumerate(runs, first):
            page = 0
            if run.finish:
                page, setting = self._settings.place(part.encoder, run.column_block)
                if setting:
                    words = part.encoder.settings.words(run.column_block)
                    last = max(self._last_use.get(page, -1), self._history.written(words))
                    self._history.read(words, number)
                    moves.append(Move(setting, None, [], part, last, number))
                self._last_use[page] = number
                tile = run.row_blocks, run.column_block
                for words in part.y.tile(*tile):
                    self._history.write(words, number)
                for beside in part.beside:
                    for words in beside.tile(*tile):
                        self._history.read(words, number)
            self._last_use |= dict.fromkeys(run.pages, number)
            self._runs.append((part, Sent(run, page)))
        # Of those that are needed at once, weights come before settings, which are needed later.
        self._moves += sorted(moves, key=lambda move: move.before)

    def _next_step(self) -> int:
        self._step += 1
        return self._step - 1

    def _constant(self, content: bytes) -> tuple[int, None]:
        """The first of the words that have this content."""
        if content not in self._constants:
            words = len(content) // self.config.stream_bytes
            self._constants[content] = self._allocator.constant(words, "the weights do not fit")
            self._image.append((self._constants[content], content))
        return self._constants[content], None

    def _home(self, content: bytes) -> int:
        """The first of the words of external memory that have this content."""
        if content not in self._constants:
            self._constants[content] = self._outside.take(len(content) // self.config.stream_bytes)
            self._external.append((self._constants[content], content))
        return self._constants[content]

    def _kept_outside(self, made: ExternalTensor) -> ExternalTensor:
        return replace(made, address=self._outside.take(made.words))


class SettingsRing:
    """Which column block's settings each page of them holds: the page that was set the longest ago
    is next."""

    def __init__(self, pages: int):
        self._held: dict[tuple[Encoder, int], int] = {}
        self._pages, self._next = pages, 0

    def place(self, encoder: Encoder, block: int) -> tuple[int, Setting | None]:
        """Their page, and what must be brought there if they are not."""
        key = encoder, 0 if encoder.settings.uniform else block
        if key in self._held:
            return self._held[key], None
        page, self._next = self._next, (self._next + 1) % self._pages
        self._held = {held: n for held, n in self._held.items() if n != page} | {key: page}
        return page, encoder.setting(block, page)
