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
    """A PRUNE of FP32 weights [K, C]: W_ff at word `address`, behind it W_bp, if there is one."""

    masters: Tensor
    kept: int
    address: int
    across: bool

    @property
    def config(self) -> Config:
        return self.masters.config

    def check(self) -> None:
        """Raises `FormatError` for weights that no PRUNE goes through, or without a pruner."""
        config, masters = self.config, self.masters
        if not config.prunes:
            raise FormatError(
                f"the device {config.name!r} has no pruner: build one with training, a vector unit "
                "and floating-point elements"
            )
        if masters.rows % config.group or masters.columns % config.group or masters.bits != 32:
            raise FormatError(
                f"masters of {masters.rows} x {masters.columns} elements of {masters.bits} bits "
                f"have not whole groups of {config.group} both ways, of binary32"
            )

    @property
    def forward(self) -> PrunedWeights:
        """W_ff."""
        rows, columns = self.masters.rows, self.masters.columns
        values, pitch = self._payload(rows)
        return PrunedWeights(
            self.config, (rows, columns), self.kept, (self.address,), values, pitch
        )

    def backward(self, inputs: int, taps: tuple[int, ...] = (0,)) -> PrunedWeights:
        """W_bp of some taps of `inputs` rows each, one after another: [taps * C, inputs].

        Raises `FormatError` if a tap's rows are not whole column blocks, and several follow.
        """
        config = self.config
        if inputs != self.masters.rows and inputs % config.columns:
            raise FormatError(
                f"{inputs} channels of each tap are not whole blocks of {config.columns} columns"
            )
        values, pitch = self._payload(self.masters.columns)
        blocks = -(-inputs // config.columns)
        first = self.address + self._forward_words
        parts = tuple(first + tap * blocks * pitch for tap in taps)
        shape = len(taps) * self.masters.columns, inputs
        return PrunedWeights(config, shape, self.kept, parts, values, pitch)

    @property
    def space(self) -> int:
        """Words that both take."""
        backward = -(-self.masters.rows // self.config.columns)
        more = backward * self._payload(self.masters.columns)[1] if self.across else 0
        return self._forward_words + more

    @property
    def reads(self) -> list[range]:
        """The masters' words."""
        return [range(self.masters.address, self.masters.address + self.masters.words)]

    @property
    def writes(self) -> list[range]:
        return [range(self.address, self.address + self.space)]

    def command(self, address: int = 0, waits: int = 0) -> Prune:
        """The command; no program lies at `address`."""
        masters, config = self.masters, self.config
        indices, pitch = self._payload(masters.rows)
        backward_indices, backward_pitch = self._payload(masters.columns)
        return Prune(
            source=masters.address,
            words=masters.words,
            pitch=masters.groups,
            inputs=masters.rows // config.group,
            outputs=masters.columns // config.group,
            kept=self.kept,
            across=self.across,
            address=self.address,
            room=self.space,
            forward_indices=indices,
            forward_pitch=pitch,
            backward=self._forward_words if self.across else 0,
            backward_indices=backward_indices,
            backward_pitch=backward_pitch,
            waits=waits,
        )

    @property
    def _forward_words(self) -> int:
        blocks = -(-self.masters.columns // self.config.columns)
        return blocks * self._payload(self.masters.rows)[1]

    def _payload(self, along: int) -> tuple[int, int]:
        """Words of a column block's values, and of these and its indices, for so many elements
        along the axis."""
        config = self.config
        places = along // config.group * self.kept * (config.columns // config.group)
        values = -(-places // config.lanes)
        return values, values + -(-places // (config.lanes * config.format.bits // INDEX_BITS))
