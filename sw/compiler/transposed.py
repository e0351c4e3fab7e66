"""Transposed convolutions: what a convolution's input changes a loss by, from what its output does.

Input pixel y takes part in output pixel oy by tap k if ``oy * stride + k * dilation - padding ==
y``. So input pixels that lie `stride` apart, a *phase*, have the same taps, and are a convolution
of stride 1 of the output with these, the last one first: no zero is inserted, none is multiplied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np

from ...hw.isa.descriptors import Rows
from .tensors import Tensor
from .walks import Images, Kernel, Walk, as_matrix


@dataclass(frozen=True)
class PixelPhase:
    """Input pixels from line and column `first` on, a stride apart, `height` lines of `width`."""

    first: tuple[int, int]
    height: int
    width: int
    kernel: Kernel
    """Of the convolution of the output that they are; without taps of one that counts nothing."""
    taps: tuple[tuple[int, ...], tuple[int, ...]]
    """Lines and columns of the taps, in the order in which this convolution has them."""

    def matrix(self, weights: np.ndarray, group: int = 8) -> np.ndarray:
        """Of the weights [height, width, channels in, out] of the convolution those of the phase's
        taps, as the matrix [K, channels in] that makes it; `group` is M."""
        lines, columns = (list(taps) for taps in self.taps)
        mine = weights[lines][:, columns].transpose(0, 1, 3, 2)
        if not mine.size:
            mine = np.zeros((1, 1, *weights.shape[:1:-1]), weights.dtype)
        return as_matrix(mine, group=group)


def pixel_phases(kernel: Kernel, height: int, width: int) -> list[PixelPhase]:
    """The phases of images of `height` x `width` pixels that `kernel` is a convolution of.

    Raises `FormatError` if an image is smaller than the window.
    """
    made = kernel.out(_Size(height, width))
    axes = [
        list(_axis(*sizes))
        for sizes in zip(
            (height, width),
            made,
            kernel.size,
            kernel.stride,
            kernel.padding,
            kernel.dilation,
            strict=True,
        )
    ]
    phases = []
    for down, right in product(*axes):
        both = zip(down, right, strict=True)
        first, count, taps, near, far, dilation = both
        empty = not all(taps)
        size = (1, 1) if empty else (len(taps[0]), len(taps[1]))
        far = tuple(
            n - length if empty else beyond
            for n, length, beyond in zip(count, made, far, strict=True)
        )
        window = Kernel(size, (1, 1), (0, 0) if empty else near, far, dilation)
        phases.append(PixelPhase(first, *count, window, taps))
    return phases


@dataclass(frozen=True)
class _Size:
    height: int
    width: int


def _axis(length: int, made: int, size: int, stride: int, padding: int, dilation: int) -> Iterator:
    """Of each phase along an axis its first pixel, how many there are, its taps from the last on,
    zeros before the output and behind it, and how far the taps lie apart."""
    apart = dilation // gcd(stride, dilation)
    for first in range(min(stride, length)):
        count = -(-(length - first) // stride)
        taps = [k for k in range(size) if (first + padding - k * dilation) % stride == 0][::-1]
        near = (taps[0] * dilation - first - padding) // stride if taps else 0
        reach = apart * (len(taps) - 1) + 1
        yield first, count, tuple(taps), near, count - 1 + reach - made - near, apart


@dataclass(frozen=True)
class LineWalk(Walk):
    """A walk whose blocks of rows are of one line of the images that are made, of all that go
    abreast: R rows, or what is left of the line."""

    def rows(self, block: int, group: int, count: int, address: int) -> Rows:
        line_rows = self.out[1] * self.images.abreast
        line, piece = divmod(block, -(-line_rows // self.config.rows))
        first = piece * self.config.rows
        stop = min(first + self.config.rows, line_rows)
        return self.from_pixels(line * line_rows + np.arange(first, stop), group, count, address)


@dataclass(frozen=True)
class SpreadTensor(Tensor):
    """Of a tensor of images a phase's pixels, in blocks as a `LineWalk` has them."""

    height: int
    width: int
    phase: PixelPhase
    stride: tuple[int, int]
    abreast: int
    """As of `Images`."""

    @property
    def blocks(self) -> int:
        images = self.rows // (self.height * self.width * self.abreast)
        return images * self.phase.height * self._pieces

    def stretch(self, row_blocks: range) -> tuple[int, int, int]:
        (block,) = row_blocks
        first, rows = self._rows(block)
        lanes, pitch = self.config.lanes, self.groups
        if self.abreast == lanes:
            pitch *= self.stride[1]
        windows = -(-rows // lanes)
        words = (windows - 1) * pitch + self.groups
        return self.address + first // lanes * self.groups, words, pitch

    def tile(self, row_blocks: range, column_block: int) -> list[range]:
        groups = self.groups_of(column_block)
        words = []
        for block in row_blocks:
            first, length, pitch = self.stretch(range(block, block + 1))
            starts = range(first, first + length, pitch)
            words += [range(start + groups.start, start + groups.stop) for start in starts]
        return words

    @property
    def _line(self) -> int:
        """Rows of a line."""
        return self.phase.width * self.abreast

    @property
    def _pieces(self) -> int:
        """Blocks of a line."""
        return -(-self._line // self.config.rows)

    def _rows(self, block: int) -> tuple[int, int]:
        """The number of a block's first row, and how many it has."""
        line, piece = divmod(block, self._pieces)
        image, line = divmod(line, self.phase.height)
        (down, right), (above, left) = self.stride, self.phase.first
        start = (image * self.height + above + line * down) * self.width + left
        done = piece * self.config.rows
        first = start * self.abreast + done * right
        return first, min(self.config.rows, self._line - done)


def needs_vector(images: Images, stride: tuple[int, int]) -> bool:
    """Whether a phase's pixels do not lie in lanes as rows do that are stored: windows of them
    equally far from each other. They do if as many images go abreast as there are lanes."""
    lanes, line = images.tensor.config.lanes, images.width * images.abreast
    if stride == (1, 1) or images.abreast == lanes:
        return False
    return stride[1] > 1 or line % lanes != 0


def spread(images: Images, phase: PixelPhase, stride: tuple[int, int]) -> Tensor:
    """Where a phase's pixels lie."""
    tensor = images.tensor
    if stride == (1, 1):
        return tensor
    return SpreadTensor(
        tensor.config,
        tensor.address,
        tensor.rows,
        tensor.columns,
        tensor.bits,
        height=images.height,
        width=images.width,
        phase=phase,
        stride=stride,
        abreast=images.abreast,
    )


def walk_of(dy: Images, dx: Images, phase: PixelPhase, stride: tuple[int, int]) -> Walk:
    """The rows of a phase of `dx`, made of the output's pixels, in blocks as these are stored.

    Raises `FormatError` as a convolution.
    """
    walk = Walk.convolution(dy.tensor.config, dy, phase.kernel)
    if stride == (1, 1) or needs_vector(dx, stride):
        return walk
    return LineWalk(walk.config, walk.images, walk.kernel)
