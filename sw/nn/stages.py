"""What a layer does beside its product: the rows it takes of images, what it adds, how it pools.

Every layer is a convolution. One that takes vectors takes images of one pixel; one that takes all
of an image at once has a window as large as that. Images are arrays [B, height, width, channels].
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..compiler.validity import whole
from ..compiler.walks import Kernel
from ..errors import FormatError

MOST = 4095
"""Pixels of a side."""


@dataclass(frozen=True)
class Stage:
    """``pool(relu?(convolution(x) + the result of layer `add`))``.

    Raises `FormatError` if the numbers do not fit together.
    """

    height: int = 1
    """Of the images that it takes."""
    width: int = 1
    kernel: Kernel = field(default_factory=lambda: Kernel((1, 1)))
    add: int | None = None
    """The number of an earlier layer, whose result is of this one's shape before it is pooled."""
    pool: int = 1
    """The largest of so many by so many pixels is left."""

    def __post_init__(self):
        pairs = [getattr(self.kernel, name) for name in ("size", "stride", "padding", "dilation")]
        numbers = [self.height, self.width, self.pool, *(n for pair in pairs for n in pair)]
        if any(not 0 <= whole("a stage", n) <= MOST for n in numbers) or 0 in numbers[:3]:
            raise FormatError(f"a stage's numbers are from 0 or 1 to {MOST:,}, not {numbers}")
        height, width = self.out
        if height % self.pool or width % self.pool:
            raise FormatError(f"{height} x {width} pixels cannot be pooled by {self.pool}")

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the convolution's images. Raises `FormatError` if there are none."""
        return self.kernel.out(self)

    @property
    def pooled(self) -> tuple[int, int]:
        """Of the result's."""
        return self.out[0] // self.pool, self.out[1] // self.pool

    @property
    def plain(self) -> bool:
        """It takes vectors, and does nothing beside."""
        return self == Stage()

    def to_notes(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_notes(cls, notes: Any) -> "Stage":
        """Raises `FormatError` for anything that `to_notes` has not made."""
        try:
            values = dict(notes)
            kernel = dict(values.pop("kernel"))
            if kernel.pop("far_padding") is not None:
                raise FormatError("a stage pads alike on both sides")
            pairs = {name: (pair[0], pair[1]) for name, pair in kernel.items()}
            return cls(kernel=Kernel(**pairs), **values)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as reason:
            raise FormatError(f"no stage of a network: {notes!r} ({reason!r})") from None


def rows(images: np.ndarray, kernel: Kernel) -> np.ndarray:
    """The rows [B * pixels, taps * channels] that a convolution's weights are multiplied by.

    A padding below zero leaves so many lines or columns out.
    """
    if kernel == Kernel((1, 1)):
        return images.reshape(-1, images.shape[3])
    (down, right), far = kernel.stride, kernel.far_padding or kernel.padding
    sides = list(zip(kernel.padding, far, strict=True))
    around = [(max(0, near), max(0, beyond)) for near, beyond in sides]
    padded = np.pad(images, ((0, 0), *around, (0, 0)))
    inside = (
        slice(max(0, -near), length - max(0, -beyond))
        for (near, beyond), length in zip(sides, padded.shape[1:3], strict=True)
    )
    padded = padded[:, *inside]
    windows = sliding_window_view(padded, kernel.reach, axis=(1, 2))[:, ::down, ::right]
    taps = windows[..., :: kernel.dilation[0], :: kernel.dilation[1]]
    # [B, height, width, channels, taps' lines, taps' columns], channels last for the product.
    taps = taps.transpose(0, 1, 2, 4, 5, 3)
    return taps.reshape(-1, int(np.prod(taps.shape[3:])))


def images_of(gradient: np.ndarray, kernel: Kernel, shape: tuple[int, ...]) -> np.ndarray:
    """The sum of all gradients of each pixel of images of `shape`: `rows` backwards."""
    count, height, width, channels = shape
    (high, wide), (down, right) = kernel.padding, kernel.stride
    padded = np.zeros((count, height + 2 * high, width + 2 * wide, channels), gradient.dtype)
    lines, columns = Stage(height, width, kernel).out
    taps = gradient.reshape(count, lines, columns, *kernel.size, channels)
    for y in range(kernel.size[0]):
        for x in range(kernel.size[1]):
            top, left = y * kernel.dilation[0], x * kernel.dilation[1]
            padded[:, top : top + down * lines : down, left : left + right * columns : right] += (
                taps[:, :, :, y, x]
            )
    return padded[:, high : high + height, wide : wide + width]


def pooled(images: np.ndarray, size: int) -> np.ndarray:
    """The largest of each `size` x `size` pixels."""
    if size == 1:
        return images
    return _blocks(images, size).max(axis=(2, 4))


def unpooled(gradient: np.ndarray, images: np.ndarray, size: int) -> np.ndarray:
    """The gradient of what was pooled: it goes to the first of the largest pixels, by lines."""
    if size == 1:
        return gradient
    blocks = _blocks(images, size).transpose(0, 1, 3, 5, 2, 4)
    flat = blocks.reshape(*blocks.shape[:4], -1)
    first = np.arange(size * size) == flat.argmax(axis=4)[..., None]
    back = (first * gradient[..., None]).reshape(blocks.shape)
    return np.ascontiguousarray(back.transpose(0, 1, 4, 2, 5, 3)).reshape(images.shape)


def _blocks(images: np.ndarray, size: int) -> np.ndarray:
    count, height, width, channels = images.shape
    return images.reshape(count, height // size, size, width // size, size, channels)
