"""Images of few channels, laid out by COPY as the lines of a convolution's windows.

Pixels that lie beside each other in a window are elements that follow each other in memory. So a
window's line is one row of a COPY: of a kernel of 3 x 3 over one channel three elements of one
group, where three pixels would be a group each. What is left of the convolution is a kernel of one
column over as many channels as a line has elements.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Copy
from .external import PIECE, ExternalTensor, Piece, words_of
from .tensors import Tensor
from .walks import Kernel


@dataclass(frozen=True)
class Windows:
    """The windows of `kernel` over `count` images of [height, width, channels], packed in external
    memory."""

    config: Config
    count: int
    height: int
    width: int
    channels: int
    kernel: Kernel
    abreast: int = 1
    """Images whose windows take turns in tensor memory (`walks.Images`): one, or one a lane."""

    @property
    def saves(self) -> bool:
        """Rows are fewer groups so than as pixels."""
        high, wide = self.kernel.size
        pixels = high * wide * self._groups(self.channels)
        return self.kernel.dilation[1] == 1 and high * self._groups(self.columns) < pixels

    @property
    def columns(self) -> int:
        """Elements of a window's line."""
        return self.kernel.size[1] * self.channels

    @property
    def out_width(self) -> int:
        return self.kernel.out(self)[1]

    @property
    def lines(self) -> int:
        """Of all images."""
        return self.count * self.height

    @property
    def rows(self) -> int:
        """Lines of windows, of all images."""
        return self.lines * self.out_width

    @property
    def rest(self) -> Kernel:
        """The kernel over them."""
        kernel, far = self.kernel, self._far
        return Kernel(
            (kernel.size[0], 1),
            (kernel.stride[0], 1),
            (kernel.padding[0], 0),
            (far[0], 0),
            (kernel.dilation[0], 1),
        )

    @property
    def border(self) -> int:
        """Zeros between lines, in pixels: each line's are those to the left of the next one too."""
        return max(self.kernel.padding[1], self._far[1])

    @property
    def line(self) -> int:
        """Elements from one line to the next, with the border between them."""
        return (self.width + self.border) * self.channels

    @property
    def bordered(self) -> int:
        """Elements of all lines with what is between them, before the first and after the last."""
        return self.lines * self.line + self.border * self.channels

    def bordering(self, framed: ExternalTensor, lines: Tensor) -> Copy:
        """The COPY of all `lines` [lines, width * channels] into their places among the zeros of
        `framed` [1, `bordered`]."""
        element = lines.bits // 8
        return Copy(
            outward=1,
            external=framed.byte + self.border * self.channels * element,
            row_bytes=self.width * self.channels * element,
            stride=self.line * element,
            rows=self.lines,
            tensor=lines.address,
            pitch=lines.groups,
        )

    def pieces(self, source: ExternalTensor, tensor: Tensor) -> Iterator[Piece]:
        """The COPYs that make windows of images, with their border in `source`, in a `tensor`
        [rows, columns], some lines at a time."""
        element, lanes = tensor.bits // 8, self.config.lanes
        first = source.byte + (self.border - self.kernel.padding[1]) * self.channels * element
        line, step = self.line * element, self.kernel.stride[1] * self.channels * element
        each, images = 1, self.lines
        if self.abreast > 1:
            images = self.height  # a line of all images abreast at a time
        else:
            while each * self.out_width % lanes or each * self.out_width // lanes < PIECE:
                each += 1
        for block in range(0, self.lines, images * self.abreast):
            for number in range(0, images, each):
                lines = min(each, images - number)
                before = (block + number * self.abreast) * self.out_width
                copy = Copy(
                    external=first + (block + number) * line,
                    row_bytes=self.columns * element,
                    stride=self.height * line if self.abreast > 1 else step,
                    line=self.abreast if self.abreast > 1 else self.out_width,
                    line_stride=step if self.abreast > 1 else line,
                    rows=lines * self.out_width * self.abreast,
                    tensor=tensor.address + before // lanes * tensor.groups,
                    pitch=tensor.groups,
                )
                yield Piece(copy, words_of(self.config, copy))

    def weights(self, matrix: np.ndarray) -> np.ndarray:
        """The rows of a convolution's weights (`walks.as_matrix`) as these windows need them."""
        (high, wide), group = self.kernel.size, self.config.group
        taps = matrix.reshape(high, wide, -1, matrix.shape[1])[:, :, : self.channels]
        lines = taps.reshape(high, self.columns, -1)
        filled = np.pad(lines, ((0, 0), (0, -self.columns % group), (0, 0)))
        return filled.reshape(-1, matrix.shape[1])

    @property
    def _far(self) -> tuple[int, int]:
        kernel = self.kernel
        return kernel.padding if kernel.far_padding is None else kernel.far_padding

    def _groups(self, elements: int) -> int:
        return -(-elements // self.config.group)
