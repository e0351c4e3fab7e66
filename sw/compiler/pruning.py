"""Weights that a PRUNE makes in tensor memory, and the PRUNE that makes them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.descriptors import Fill, Prune
from ...hw.isa.maps import INDEX_BITS
from ..errors import FormatError
from .packing import ColumnBlock
from .steps import Load
from .tensors import Tensor
from .walks import consecutive


@dataclass(frozen=True)
class PrunedWeights:
    """A matrix [K, C] of which `kept` of every M along K are in tensor memory, from one PRUNE.

    It stands where `PackedWeights` do; a slot is known by its place among all column blocks' slots.
    K has as many parts as `parts`, which follow each other and lie apart: the first words of column
    block 0 of each; the next blocks are `pitch` words further.
    """

    config: Config
    shape: tuple[int, int]
    kept: int
    parts: tuple[int, ...]
    words: int
    """From a column block's values to their indices."""
    pitch: int

    @property
    def counts(self) -> np.ndarray:
        """Weights of each group."""
        groups = self.shape[0] // self.config.group
        return np.full((groups, self.shape[1]), self.kept, np.uint8)

    @property
    def slots(self) -> int:
        """Of a part, in each column block."""
        return self.shape[0] // self.config.group * self.kept // len(self.parts)

    def groups(self, start: int, stop: int) -> "PrunedWeights":
        """All of them. Raises `FormatError` for any other part of K."""
        groups = self.shape[0] // self.config.group
        if start or stop < groups:
            raise FormatError(
                f"pruned weights of {groups} groups of K do not fit into a page of weights: build "
                "a device with more weight_slots or schedule_records"
            )
        return self

    def blocks(self, columns: int, interleave: int = 1) -> Iterator[ColumnBlock]:
        """The column blocks for an array of `columns`."""
        records = np.full(len(self.counts), self.kept, np.uint8)
        slots = len(self.parts) * self.slots
        for block in range(-(-self.shape[1] // columns)):
            codes = block * slots + np.arange(slots)
            yield ColumnBlock(records, codes[:, None], np.zeros((slots, columns), np.uint8))

    def fills(self, load: Load) -> list[Fill]:
        """What brings a load of values, and of indices with them; it begins with a part, or a
        multiple of M slots behind its beginning.

        Raises `FormatError` if the words of a multiple of M slots are not whole.
        """
        config, made = self.config, []
        across, units = config.columns // config.group, config.format.bits // INDEX_BITS
        for code, count, address in consecutive(load, self.slots):
            block, slot = divmod(code, len(self.parts) * self.slots)
            part, slot = divmod(slot, self.slots)
            source = self.parts[part] + block * self.pitch
            place, wide = slot * across, config.lanes * units
            if place % wide:
                raise FormatError(
                    f"indices of {config.group} slots of pruned weights are no whole words on the "
                    f"{config.lanes} lanes of {config.name!r}: take less lanes"
                )
            made.append(
                Fill(
                    target=Target.VALUES,
                    address=address,
                    count=count,
                    source=source + place // config.lanes,
                    words=-(-count * across // config.lanes),
                    indices=source + self.words + place // wide,
                    index_words=-(-count * across // wide),
                )
            )
        return made


@dataclass(frozen=True)
class Pruning:
    """FP32 weights [K, C] that PRUNEs go through: W_ff at word `address`, behind it W_bp, if
    they go `across`."""

    masters: Tensor
    kept: int
    address: int
    across: bool
    inputs: int = 0
    """K, if the masters are those alone that are kept (`kept.Compact`), whose places are W_ff's
    indices; else 0."""

    @property
    def rows(self) -> int:
        """K."""
        return self.inputs or self.masters.rows

    def part(self, first: int, rows: int) -> Tensor:
        """The masters of some rows of the matrix; of those that are kept, of whole blocks of R
        groups."""
        if not self.inputs:
            return self.masters.part(first, rows)
        block = self.config.rows * self.config.group
        here = range(first // block, -(-(first + rows) // block))
        each = self.config.rows * self.kept
        return self.masters.part(here.start * each, len(here) * each)

    @property
    def config(self) -> Config:
        return self.masters.config

    def check(self) -> None:
        """Raises `FormatError` for weights that no PRUNE goes through, or without a pruner."""
        config, masters = self.config, self.masters
        rows = self.rows
        if not config.prunes:
            raise FormatError(
                f"the device {config.name!r} has no pruner: build one with training, a vector unit "
                "and floating-point elements"
            )
        if rows % config.group or masters.columns % config.group or masters.bits != 32:
            raise FormatError(
                f"masters of {rows} x {masters.columns} elements of {masters.bits} bits "
                f"have not whole groups of {config.group} both ways, of binary32"
            )

    @property
    def forward(self) -> PrunedWeights:
        """W_ff."""
        rows, columns = self.rows, self.masters.columns
        values, pitch = self.payload(rows)
        return PrunedWeights(
            self.config, (rows, columns), self.kept, (self.address,), values, pitch
        )

    def backward(self, inputs: int, taps: tuple[int, ...] = (0,)) -> PrunedWeights:
        """W_bp of some taps of `inputs` rows each, one after another: [taps * C, inputs].

        Raises `FormatError` if a tap's rows are not whole column blocks, and several follow.
        """
        config = self.config
        if inputs != self.rows and inputs % config.columns:
            raise FormatError(
                f"{inputs} channels of each tap are not whole blocks of {config.columns} columns"
            )
        values, pitch = self.payload(self.masters.columns)
        blocks = -(-inputs // config.columns)
        first = self.address + self.forward_words
        parts = tuple(first + tap * blocks * pitch for tap in taps)
        shape = len(taps) * self.masters.columns, inputs
        return PrunedWeights(config, shape, self.kept, parts, values, pitch)

    @property
    def space(self) -> int:
        """Words that both take."""
        backward = -(-self.rows // self.config.columns)
        more = backward * self.payload(self.masters.columns)[1] if self.across else 0
        return self.forward_words + more

    @property
    def whole(self) -> "Share":
        """All rows of the masters."""
        return Share(self, 0, self.rows)

    def shares(self, rows: int) -> list["Share"]:
        """So many rows at a time, each by a PRUNE of its own; all at once if their payloads would
        not be whole words, or their masters no whole blocks."""
        config = self.config
        wide = config.lanes * config.format.bits // INDEX_BITS
        torn = self.inputs and rows % (config.rows * config.group)
        if rows % config.columns or self.places(rows) % wide or torn:
            return [self.whole]
        starts = range(0, self.rows, rows)
        return [Share(self, first, min(rows, self.rows - first)) for first in starts]

    def places(self, rows: int) -> int:
        """Groups of tensor memory that a column block's weights of so many rows take."""
        return rows // self.config.group * self.kept * (self.config.columns // self.config.group)

    @property
    def forward_words(self) -> int:
        """Of W_ff; W_bp lies behind it."""
        blocks = -(-self.masters.columns // self.config.columns)
        return blocks * self.payload(self.rows)[1]

    def payload(self, along: int) -> tuple[int, int]:
        """Words of a column block's values, and of these and its indices, for so many elements
        along the axis."""
        config, places = self.config, self.places(along)
        values = -(-places // config.lanes)
        return values, values + -(-places // (config.lanes * config.format.bits // INDEX_BITS))


@dataclass(frozen=True)
class Share:
    """What a PRUNE does of a `Pruning`: some rows of the masters, from `first` on."""

    pruning: Pruning
    first: int
    rows: int

    @property
    def reads(self) -> list[range]:
        """The masters' words."""
        part = self.pruning.part(self.first, self.rows)
        return [range(part.address, part.address + part.words)]

    @property
    def writes(self) -> list[range]:
        made = self.pruning
        address, (values, pitch) = made.address, made.payload(made.rows)
        mine, both = made.payload(self.rows)
        at, beside = self._offsets
        written = []
        for block in range(0, made.forward_words, pitch):
            first, indices = address + block + at, address + block + values + beside
            written += [range(first, first + mine), range(indices, indices + both - mine)]
        if made.across:
            columns, pitch = made.config.columns, made.payload(made.masters.columns)[1]
            blocks = self.first // columns, -(-(self.first + self.rows) // columns)
            behind = address + made.forward_words
            written.append(range(*(behind + block * pitch for block in blocks)))
        return written

    def command(self, address: int = 0, waits: int = 0) -> Prune:
        """The command; no program lies at `address`."""
        made, (at, beside) = self.pruning, self._offsets
        masters, config = made.masters, made.config
        part = made.part(self.first, self.rows)
        values, pitch = made.payload(made.rows)
        backward_indices, backward_pitch = made.payload(masters.columns)
        behind = made.forward_words + self.first // config.columns * backward_pitch
        return Prune(
            source=part.address,
            words=part.words,
            pitch=masters.groups,
            inputs=self.rows // config.group,
            outputs=masters.columns // config.group,
            kept=made.kept,
            across=made.across,
            address=made.address + at,
            room=made.space - at,
            forward_indices=values - at + beside,
            forward_pitch=pitch,
            backward=behind - at if made.across else 0,
            backward_indices=backward_indices,
            backward_pitch=backward_pitch,
            waits=waits,
            held=int(made.inputs > 0),
        )

    @property
    def _offsets(self) -> tuple[int, int]:
        """Words before its values, and before its indices, in a column block of W_ff."""
        config, places = self.pruning.config, self.pruning.places(self.first)
        return places // config.lanes, places // (config.lanes * config.format.bits // INDEX_BITS)
