"""Programs: products whose operands and results stay in tensor memory.

A program is a list of commands and what lies in memory before it runs: the weights. Each product is
planned as the host's own are (`plan`); a load becomes a FILL of words that were put there, or a
ROWS of the tensor that is multiplied, and a RUN stores its rows in the result.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.isa.commands import Command, Fill, Rows, Run, Target
from ...hw.isa.engines import Engine
from ...hw.isa.host_stream import packet_of
from ..errors import FormatError
from .encoding import Encoder
from .packing import PackedWeights
from .plan import merged, planned
from .settings import Settings
from .steps import Load, Sent, Setting
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


class Builder:
    """Puts a program together, product by product."""

    def __init__(self, config: Config):
        if not config.tensor_words:
            raise FormatError(
                f"the device {config.name!r} has no tensor memory for a program: build one with "
                "tensor_words"
            )
        self.config = config
        self.program = Program(config)
        self._waits = Waits(config)
        self._constants: dict[bytes, int] = {}
        # Two reads a cycle need operands in different halves: tensors from below, weights from the
        # top.
        self._tensors, self._weights = 0, config.tensor_words

    def tensor(self, rows: int, columns: int, bits: int | None = None) -> Tensor:
        """A new tensor, of the format's elements or of so many bits each.

        Raises `FormatError` if the memory is full.
        """
        made = Tensor(self.config, self._tensors, rows, columns, bits or self.config.format.bits)
        self._tensors += made.space
        self._check(f"a tensor of {rows:,} x {columns:,} elements")
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
        """``y = round(relu?((x @ weights + bias) * scale))``, with bias and scale of `settings`."""
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
        blocks = -(-x.rows // config.rows)
        # A word of the activations' buffer is known by where it lies in the tensor.
        codes = np.arange(blocks * x.groups).reshape(blocks, x.groups, 1, 1)
        encoder = Encoder(config, settings, relu, output)
        for step in merged(planned(config, codes, weights, settings, output)):
            if isinstance(step, Setting):
                self.program.commands += encoder.settings_of(step)
            elif isinstance(step, Sent):
                self.program.commands.append(self._run(encoder.run(step), step, y))
            elif step.target is Target.ACTIVATIONS:
                self.program.commands += self._rows(step, x)
            else:
                self.program.commands.append(self._fill(encoder, step))

    def _fill(self, encoder: Encoder, load: Load) -> Fill:
        payload = encoder.payload(load)
        payload += bytes(-len(payload) % self.config.stream_bytes)
        source, words = self._constant(payload), len(payload) // self.config.stream_bytes
        waits = self._waits.move(Engine.FILL, load.page, [slice(source, source + words)])
        return Fill(load.target, load.address, len(load.words), source, words, waits)

    def _rows(self, load: Load, x: Tensor) -> Iterator[Rows]:
        config, windows = self.config, self.config.rows // self.config.lanes
        codes = load.words.ravel()
        # Words that follow each other in one row block are one descriptor.
        cuts = np.flatnonzero((np.diff(codes) != 1) | (codes[1:] % x.groups == 0)) + 1
        for first, stop in zip([0, *cuts], [*cuts, len(codes)], strict=True):
            block, group = divmod(int(codes[first]), x.groups)
            source = x.address + block * windows * x.groups + group
            read = [
                slice(source + window * x.groups, source + window * x.groups + int(stop - first))
                for window in range(windows)
            ]
            yield Rows(
                source=source,
                pitch=x.groups,
                groups=int(stop - first),
                rows=min(config.rows, x.rows - block * config.rows),
                address=load.address + int(first),
                waits=self._waits.move(Engine.ROWS, load.page, read),
            )

    def _run(self, run: Run, sent: Sent, y: Tensor) -> Run:
        config, rows = self.config, sent.run.row_blocks
        if not sent.run.finish:
            return replace(run, waits=self._waits.run(sent.run.pages, None))
        windows = config.rows // config.lanes
        first, stop = rows.start * windows, min(rows.stop * windows, y.windows)
        destination = y.address + first * y.groups
        words = (stop - first) * y.groups
        column = sent.run.column_block * config.columns
        return replace(
            run,
            store=1,
            pad=int(column + config.columns >= y.columns),
            destination=destination,
            words=words,
            pitch=y.groups,
            groups=y.groups,
            offset=column * y.bits // 8,
            waits=self._waits.run(sent.run.pages, slice(destination, destination + words)),
        )

    def _constant(self, content: bytes) -> int:
        """The address of words with this content."""
        if content not in self._constants:
            self._weights -= len(content) // self.config.stream_bytes
            self._check("the weights")
            self._constants[content] = self._weights
            self.program.image.append((self._weights, content))
        return self._constants[content]

    def _check(self, what: str) -> None:
        if self._tensors > self._weights:
            missing = self._tensors - self._weights
            raise FormatError(
                f"{what} does not fit: the tensor memory of {self.config.name!r} has "
                f"{self.config.tensor_words:,} words, the program needs {missing:,} more; build "
                "one with more tensor_words"
            )


def run_packets(programs: Iterable[Program]) -> list[bytes]:
    """The packets of programs that follow each other."""
    return [packet for program in programs for packet in program.packets()]
