"""Bias and scale of each output channel, as the integers that the epilogue takes."""

import math
from dataclasses import dataclass

import numpy as np

from ...hw.config import Config
from ..errors import FormatError
from .elements import as_array
from .tensors import Tensor

SCALE_BITS = 16


@dataclass(frozen=True)
class Settings:
    """Bias, scale and exponent of every output channel, as the epilogue takes them."""

    bias: list[int]
    scale: list[int]
    exponent: list[int]
    row: Tensor | None = None
    """FP32 in tensor memory, from which biases are brought each time, with a scale of 1."""

    @property
    def uniform(self) -> bool:
        """All channels have the same."""
        lists = self.bias, self.scale, self.exponent
        return self.row is None and all(len(set(v)) == 1 for v in lists)

    @property
    def biased(self) -> bool:
        return self.row is not None or any(self.bias)

    def words(self, column_block: int) -> range:
        """Those of the row that a block of columns takes."""
        if self.row is None:
            return range(0)
        groups = self.row.groups_of(column_block)
        return range(self.row.address + groups.start, self.row.address + groups.stop)


def biases_from(config: Config, row: Tensor) -> Settings:
    """Settings of as many channels as `row` [1, channels] of FP32 has elements: these as biases.

    Raises `FormatError` for another tensor, or if the device has no training.
    """
    if not config.training:
        raise FormatError(
            f"the device {config.name!r} cannot take biases from a tensor: build one with training"
        )
    if row.rows != 1 or row.bits != 32:
        raise FormatError(
            f"biases are one row of FP32, not {row.rows} x {row.columns} of {row.bits} bits"
        )
    none = [0] * row.columns
    return Settings(none, none, none, row)


def settings_of(config: Config, channels: int, bias=None, scale=None, steps=None) -> Settings:
    """Real bias (added to the sum) and scale (then multiplied) as integers.

    `steps` are the weights' (`PackedWeights.scale`): a sum counts in them, so the bias is divided
    by them and the scale multiplied. Then the bias is rounded to the sum's unit, and the scale to
    16 significant bits, each to nearest, ties to even.

    Raises `FormatError` for a wrong length, a negative scale, or a bias that the sum cannot hold.
    """
    unit = config.format.product_unit_log2
    largest = math.ldexp(1.0, config.accumulator_bits - 1 + unit)
    biases, scales, exponents = [], [], []
    for channel, (offset, factor, step) in enumerate(
        zip(
            _spread(bias, 0.0, "bias", channels),
            _spread(scale, 1.0, "scale", channels),
            _spread(steps, 1.0, "weights' scale", channels),
            strict=True,
        )
    ):
        biases.append(_bias(offset / step, unit, largest, channel))
        if factor < 0:
            raise FormatError(f"a scale cannot be negative ({factor}); negate the weights")
        multiplier, exponent = _multiplier(factor, step)
        scales.append(multiplier)
        exponents.append(exponent + unit)
    return Settings(biases, scales, exponents)


def _spread(values, default: float, name: str, channels: int) -> list[float]:
    """A number for each channel."""
    array = as_array(default if values is None else values, name).astype(np.float64)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != channels):
        raise FormatError(f"{name}: one number or {channels}, not shape {array.shape}")
    if not np.isfinite(array).all():
        raise FormatError(f"{name} must be finite")
    return np.broadcast_to(array, channels).tolist()


def _bias(offset: float, unit: int, largest: float, channel: int) -> int:
    if not -largest <= offset < largest:
        raise FormatError(
            f"the bias of output {channel} is {offset:g} in units of the product: the accumulator "
            f"holds less than {largest:g}; scale the layer down"
        )
    integer = round(math.ldexp(offset, -unit))
    if integer == round(math.ldexp(largest, -unit)):
        raise FormatError(f"the bias of output {channel} rounds beyond the accumulator")
    return integer


def _multiplier(factor: float, step: float) -> tuple[int, int]:
    """``factor * step`` as ``multiplier * 2**exponent``; taken apart first, so that no product of
    very small or large numbers is lost."""
    (a, exponent_a), (b, exponent_b) = math.frexp(factor), math.frexp(step)
    mantissa, exponent = math.frexp(a * b)
    multiplier, exponent = round(mantissa * (1 << SCALE_BITS)), exponent + exponent_a + exponent_b
    if multiplier == 1 << SCALE_BITS:
        multiplier, exponent = 1 << (SCALE_BITS - 1), exponent + 1
    return multiplier, exponent - SCALE_BITS
