"""Weight gradients: products that are summed over rows of both operands.

``dW = Xᵀ · dY``: the array's rows are columns of X, its columns those of dY, and K are the rows
that both have: pixels of a batch, of which there may be any number. X comes across (`Across`), dY
as dense weights (`DenseRows`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...hw.config import MAX_TERMS, Config
from ...hw.isa.descriptors import Dense, Image, Rows
from ..errors import FormatError
from .packing import ColumnBlock
from .steps import Load
from .tensors import RawTensor, Tensor
from .walks import Images, Kernel, Walk, consecutive


@dataclass(frozen=True)
class PartOfWalk:
    """Some of a walk's rows: `count` from `first` on."""

    walk: Walk
    first: int
    count: int

    @property
    def tensor(self) -> Tensor:
        return self.walk.tensor

    @property
    def image(self) -> Image:
        return self.walk.image


class Across(PartOfWalk):
    """The columns of a walk's rows as rows of activations, of some of them, the first of which
    begins a group."""

    @property
    def groups(self) -> int:
        """Of M rows."""
        return -(-self.count // self.walk.config.group)

    def fills(self, load: Load) -> list[Rows]:
        """What brings a load, as of a `Walk`."""
        pieces = consecutive(load, self.groups)
        return [self._rows(*divmod(code, self.groups), *piece) for code, *piece in pieces]

    def _rows(self, block: int, group: int, count: int, address: int) -> Rows:
        config, walk = self.walk.config, self.walk
        first = self.first + group * config.group
        rows = min(count * config.group, self.first + self.count - first)
        each = config.rows // config.group
        groups = min(each, walk.groups - block * each)
        made = walk.from_pixels(first + np.arange(rows), block * each, groups, address)
        return replace(
            made,
            transposed=1,
            groups=count,
            rows=groups * config.group,
            missing=count * config.group - rows,
        )


@dataclass(frozen=True)
class DenseRows:
    """Some rows of a tensor as dense weights: `count` from `first` on, which begins a group.

    It stands where `PackedWeights` do; a slot is known by its place among all columns' slots.
    """

    config: Config
    tensor: Tensor
    first: int
    count: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.count, self.tensor.columns

    @property
    def counts(self) -> np.ndarray:
        """Weights of each group: slots come in whole ones."""
        groups = -(-self.count // self.config.group)
        return np.full((groups, self.tensor.columns), self.config.group, np.uint8)

    def groups(self, start: int, stop: int) -> "DenseRows":
        """The part for groups `start` to `stop` of K."""
        first, size = self.first + start * self.config.group, self.config.group
        return replace(self, first=first, count=min(stop * size, self.count) - start * size)

    def blocks(self, columns: int, interleave: int = 1) -> Iterator[ColumnBlock]:
        """The column blocks for an array of `columns`."""
        groups, size = len(self.counts), self.config.group
        slots = self.first + np.arange(groups * size)
        records = np.full(groups, size, np.uint8)
        places = np.broadcast_to(slots[:, None] % size, (len(slots), columns)).astype(np.uint8)
        for block in range(-(-self.tensor.columns // columns)):
            yield ColumnBlock(records, (block * self._stride + slots)[:, None], places)

    @property
    def _stride(self) -> int:
        """Slots of a column block among all."""
        size = self.config.group
        return -(-self.tensor.rows // size) * size

    def fills(self, load: Load) -> list[Dense]:
        """What brings a load of values, and of indices with them."""
        config, tensor = self.config, self.tensor
        each = config.columns // config.group
        made = []
        for code, count, address in consecutive(load, self._stride):
            block, row = divmod(code, self._stride)
            rows = min(count, self.first + self.count - row)
            windows = -(-rows // config.lanes)
            groups = min(each, tensor.groups - block * each)
            made.append(
                Dense(
                    address=address,
                    count=rows,
                    source=tensor.address + row // config.lanes * tensor.groups + block * each,
                    words=(windows - 1) * tensor.groups + groups,
                    pitch=tensor.groups,
                    groups=groups,
                )
            )
        return made


def least_of(config: Config) -> int:
    """Groups of rows that a chunk had better have, so that a tile's exact sums are read, a word a
    cycle, in half of the time that it keeps the array: dense weights come the same way."""
    sums = RawTensor(config, 0, config.rows, config.columns)
    return -(-2 * sums.space // config.group)


def chunks_of(config: Config, rows: int, row_blocks: int, column_blocks: int) -> list[range]:
    """The rows that a gradient is summed over, in as many chunks as it takes, each with whole
    groups but the last: one, if a page holds them or there is but one tile, whose sums stay in the
    array; else so many rows at a time that a page holds what all tiles take of them."""
    size = config.group
    groups, most = -(-rows // size), MAX_TERMS // size
    page = min(config.activation_groups, config.weight_slots // size, config.schedule_records)
    if groups > page and row_blocks * column_blocks > 1:
        together = min(
            config.activation_groups // row_blocks,
            config.weight_slots // size // column_blocks,
            config.schedule_records // column_blocks,
        )
        most = min(page, max(least_of(config), together))
    each = size * -(-groups // -(-groups // most))
    return [range(first, min(first + each, rows)) for first in range(0, rows, each)]


def operands(
    config: Config,
    x: Tensor | Images,
    dy: Tensor | Images,
    dw: Tensor,
    kernel: Kernel | None,
) -> tuple[Walk, Tensor]:
    """The rows of `x`, as a product has them, and those of `dy`.

    Raises `FormatError` if they are not as many, or `dw` has another shape.
    """
    if kernel is None:
        if isinstance(x, Images) or isinstance(dy, Images):
            raise FormatError("images need a kernel, as their convolution had one")
        walk, columns, alike = Walk.matrix(config, x), x.columns, x.rows == dy.rows
    else:
        if not isinstance(x, Images) or not isinstance(dy, Images):
            raise FormatError("the gradient of a convolution is made of images")
        walk = Walk.convolution(config, x, kernel)
        columns = walk.groups * config.group
        alike = (dy.count, dy.height, dy.width) == (x.count, *kernel.out(x))
        if x.abreast != dy.abreast or x.abreast > config.group:
            raise FormatError(
                f"{x.abreast} and {dy.abreast} images go abreast: as many must, and no more than "
                f"{config.group}"
            )
        dy = dy.tensor
    if not alike or (dw.rows, dw.columns) != (columns, dy.columns):
        raise FormatError(
            f"rows of {columns} columns{f', {x} under {kernel},' * (kernel is not None)} across "
            f"and [{dy.rows}, {dy.columns}] make no [{dw.rows}, {dw.columns}]"
        )
    if dy.bits != config.format.bits:
        raise FormatError(
            f"elements of {dy.bits} bits cannot be multiplied in {config.format.name}"
        )
    return walk, dy


def both(walk: Walk, dy: Tensor, rows: range) -> tuple[Across, DenseRows]:
    """A chunk of the rows as the product's two operands."""
    return (
        Across(walk, rows.start, len(rows)),
        DenseRows(walk.config, dy, rows.start, len(rows)),
    )
