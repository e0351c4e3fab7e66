"""How rows of activations are made of a tensor: the rows of a matrix, or a convolution's.

A convolution is a product whose rows are output pixels, and whose K are the taps, line by line,
each with all channels in whole groups.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Image, Rows
from ..errors import FormatError
from .steps import Load
from .tensors import Tensor

STEP = 1 << 16
"""Words of a step are modulo this."""


class Sized(Protocol):
    """Has pixels."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...


@dataclass(frozen=True)
class Images:
    """A tensor whose rows are the pixels of images, line by line; its columns are channels.

    Of `abreast` images the same pixels are rows that follow each other: [block of so many images,
    line, column, image]. If they are as many as there are lanes, a convolution of any stride and
    padding reads a group of each lane in a cycle.
    """

    tensor: Tensor
    height: int
    width: int
    abreast: int = 1
    """A power of two that divides R."""

    def __post_init__(self):
        if self.height < 1 or self.width < 1 or self.tensor.rows % (self.height * self.width):
            raise FormatError(
                f"{self.tensor.rows:,} rows are no images of {self.height} x {self.width} pixels"
            )
        if self.abreast < 1 or self.abreast & (self.abreast - 1):
            raise FormatError(f"a power of two of images go abreast, not {self.abreast}")
        if self.tensor.config.rows % self.abreast or self.count % self.abreast:
            raise FormatError(
                f"{self} cannot go {self.abreast} abreast, in blocks of {self.tensor.config.rows} "
                "rows"
            )

    @property
    def count(self) -> int:
        return self.tensor.rows // (self.height * self.width)

    def check_abreast(self, *others: "Images | None") -> None:
        """Raises `FormatError` unless all that there are go abreast as these do."""
        if any(images is not None and images.abreast != self.abreast for images in others):
            raise FormatError("as many images go abreast in all tensors of a convolution")

    def made(self, tensor: Tensor, kernel: "Kernel") -> "Images":
        """The images that `kernel` makes of these, in `tensor`."""
        return Images(tensor, *kernel.out(self), self.abreast)

    def __str__(self) -> str:
        return f"{self.count} images of {self.height} x {self.width} x {self.tensor.columns}"


@dataclass(frozen=True)
class Kernel:
    """The window of a convolution, in pixels: heights before widths.

    Zeros surround an image: `padding` lines above it and columns to its left, and as many below and
    to the right, or `far_padding`.
    """

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    far_padding: tuple[int, int] | None = None
    dilation: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> int:
        """Pixels of the window."""
        return self.size[0] * self.size[1]

    @property
    def reach(self) -> tuple[int, int]:
        """From its first line and column to its last, both included."""
        (high, wide), (down, right) = self.size, self.dilation
        return down * (high - 1) + 1, right * (wide - 1) + 1

    def out(self, images: "Sized") -> tuple[int, int]:
        """Height and width of what it makes of an image.

        Raises `FormatError` if an image is smaller than the window.
        """
        far = self.padding if self.far_padding is None else self.far_padding
        sizes = []
        for reach, length, step, near, beyond in zip(
            self.reach,
            (images.height, images.width),
            self.stride,
            self.padding,
            far,
            strict=True,
        ):
            if length + near + beyond < reach:
                raise FormatError(
                    f"an image of {images.height} x {images.width} pixels is smaller than "
                    f"{self}: it needs {reach} pixels in a direction, and has {length} with "
                    f"{near} + {beyond} of padding"
                )
            sizes.append((length + near + beyond - reach) // step + 1)
        return sizes[0], sizes[1]

    def __str__(self) -> str:
        return f"a kernel of {self.size[0]} x {self.size[1]}"


@dataclass(frozen=True)
class Walk:
    """Rows of activations out of a tensor, as IMAGE and ROWS make them."""

    config: Config
    images: Images
    kernel: Kernel

    @classmethod
    def matrix(cls, config: Config, tensor: Tensor) -> "Walk":
        """The tensor's own rows: images of a pixel."""
        return cls(config, Images(tensor, 1, 1), Kernel((1, 1)))

    @classmethod
    def convolution(cls, config: Config, images: Images, kernel: Kernel) -> "Walk":
        """The rows of a convolution. Raises `FormatError` for what the device cannot count."""
        walk = cls(config, images, kernel)
        for name, value in vars(walk.image).items():
            bits, signed = Image.layout()[name]
            low, high = (-1 << bits - 1, 1 << bits - 1) if signed else (0, 1 << bits)
            if not low <= value < high:
                raise FormatError(
                    f"{images} under {kernel}: {name} is {value:,}, and a device counts to "
                    f"{high - 1:,}"
                )
        return walk

    @property
    def tensor(self) -> Tensor:
        return self.images.tensor

    @property
    def groups(self) -> int:
        """Of a row."""
        return self.kernel.taps * self.tensor.groups

    @cached_property
    def out(self) -> tuple[int, int]:
        """Height and width of the images that are made."""
        return self.kernel.out(self.images)

    @cached_property
    def image(self) -> Image:
        """The command that says how to walk."""
        images, kernel = self.images, self.kernel
        (height, width), (stride_y, stride_x) = self.out, kernel.stride
        (first_y, first_x), (dilation_y, dilation_x) = kernel.padding, kernel.dilation
        line, abreast = images.width, images.abreast
        size = images.height, images.width
        steps = pixel_steps(size, self.out, kernel.stride)
        pixels = dict(zip(("column", "line", "image"), steps, strict=True)) | {
            "tap": dilation_x,
            "tap_line": dilation_y * line - (kernel.size[1] - 1) * dilation_x,
        }
        fields = {}
        for name, step in pixels.items():
            # From the last image abreast to the first one; but taps are those of each image.
            rows = step * abreast - (0 if name.startswith("tap") else abreast - 1)
            fields[f"{name}_words"], fields[f"{name}_lanes"] = self._step(rows)
        return Image(
            width=line,
            height=images.height,
            out_width=width,
            out_height=height,
            first_x=-first_x,
            first_y=-first_y,
            stride_x=stride_x,
            stride_y=stride_y,
            kernel_width=kernel.size[1],
            kernel_height=kernel.size[0],
            dilation_x=dilation_x,
            dilation_y=dilation_y,
            groups=self.tensor.groups,
            pitch=self.tensor.groups,
            abreast=abreast.bit_length() - 1,
            **fields,
        )

    def fills(self, load: Load) -> list[Rows]:
        """What brings a load, whose words are known by their place among all blocks' groups: words
        that follow each other in one block are one descriptor."""
        return [
            self.rows(*divmod(code, self.groups), *piece)
            for code, *piece in consecutive(load, self.groups)
        ]

    def rows(self, block: int, group: int, count: int, address: int) -> Rows:
        """Groups `group` to ``group + count - 1`` of a block of R rows, into words from `address`
        on."""
        pixels = self.images.count * self.out[0] * self.out[1]
        first = block * self.config.rows
        numbers = np.arange(first, min(first + self.config.rows, pixels))
        return self.from_pixels(numbers, group, count, address)

    def from_pixels(self, numbers: np.ndarray, group: int, count: int, address: int) -> Rows:
        """The same groups of some output pixels that follow each other."""
        config, images, kernel = self.config, self.images, self.kernel
        height, width = self.out
        place, beside = np.divmod(numbers, images.abreast)
        image, pixel = np.divmod(place, height * width)
        line, column = np.divmod(pixel, width)
        y = line * kernel.stride[0] - kernel.padding[0]
        x = column * kernel.stride[1] - kernel.padding[1]
        start = image * images.height * images.width + y * images.width + x
        per_tap = self.tensor.groups
        taps = np.arange(group // per_tap, (group + count - 1) // per_tap + 1)
        tap_y, tap_x = np.divmod(taps, kernel.size[1])
        down, right = tap_y * kernel.dilation[0], tap_x * kernel.dilation[1]
        inside = (y[:, None] + down >= 0) & (y[:, None] + down < images.height)
        inside &= (x[:, None] + right >= 0) & (x[:, None] + right < images.width)
        offset = down * images.width + right
        read = ((start[:, None] + offset) * images.abreast + beside[:, None])[inside]
        first, last = (read.min(), read.max()) if read.size else (0, 0)
        before = int(first) // config.lanes * per_tap
        words, lanes = self._step(int(start[0]) * images.abreast)
        offset_words, offset_lanes = self._step(int(offset[0]) * images.abreast)
        return Rows(
            source=self.tensor.address + before,
            words=(int(last) // config.lanes + 1) * per_tap - before,
            address=address,
            groups=count,
            rows=len(numbers),
            column=int(column[0]),
            line=int(line[0]),
            x=int(x[0]),
            y=int(y[0]),
            start_words=(words - before) % STEP,
            start_lanes=lanes,
            tap_x=int(tap_x[0]),
            tap_y=int(tap_y[0]),
            group=group % per_tap,
            offset_words=offset_words,
            offset_lanes=offset_lanes,
        )

    def _step(self, rows: int) -> tuple[int, int]:
        """Words and lanes of a step over so many rows."""
        windows, lanes = divmod(rows, self.config.lanes)
        return windows * self.tensor.groups % STEP, lanes


def pixel_steps(
    image: tuple[int, int], out: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int]:
    """Pixels of images of so many lines and columns between those that lie a `stride` apart, `out`
    lines and columns of them in each: to the next one, from the last one of a line to the next
    line's first, and from the last one of an image to the next image's first."""
    (lines, columns), (high, wide), (down, right) = image, out, stride
    back = (wide - 1) * right
    return right, down * columns - back, lines * columns - (high - 1) * down * columns - back


def consecutive(load: Load, whole: int) -> list[tuple[int, int, int]]:
    """Of a load's words those that follow each other, and do not go over a multiple of `whole`: the
    first one's number, how many they are, and the address of the first."""
    codes = load.words.ravel()
    cuts = np.flatnonzero((np.diff(codes) != 1) | (codes[1:] % whole == 0)) + 1
    return [
        (int(codes[first]), stop - first, load.address + first)
        for first, stop in pairwise([0, *cuts.tolist(), len(codes)])
    ]


def as_matrix(weights: np.ndarray, groups: int = 1, group: int = 8) -> np.ndarray:
    """Weights [height, width, channels in / `groups`, channels out] as the matrix [K, channels out]
    that a convolution's rows are multiplied by: zeros for the channels that fill the last group,
    and between channels of different groups of a grouped convolution.

    `group` is M. Raises `FormatError` if the channels out are not to be divided so.
    """
    height, width, depth, outputs = weights.shape
    if groups < 1 or outputs % groups:
        raise FormatError(f"{outputs} channels cannot be divided into {groups} groups")
    channels = depth * groups
    full = np.zeros((height, width, -(-channels // group) * group, outputs), weights.dtype)
    each = outputs // groups
    for n in range(groups):
        own = slice(n * each, (n + 1) * each)
        full[:, :, n * depth : (n + 1) * depth, own] = weights[..., own]
    return full.reshape(-1, outputs)
