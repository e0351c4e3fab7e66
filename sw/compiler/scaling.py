"""Numbers made to fit a format: divided by a step, by which the products are multiplied again.

Symmetric, as in Krishnamoorthi (arXiv:1806.08342): an element stands for its value times a step,
and zero stays zero, so what was pruned stays pruned.
"""

from typing import Any

import numpy as np

from ...hw.formats import Format
from ...sim.golden.numbers import largest_value, raw_dtype
from ..errors import FormatError
from .elements import as_array, format_of


def quantise(
    values: Any, format: Format | str = "int8", axis: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Elements and steps such that ``values`` is about ``elements * step``.

    The largest magnitude becomes the largest element (INT8: 127; -128 is not used). `axis` is the
    one along which numbers share a step: 0 gives a matrix [K, C] a step for each column, None one
    for all. Returns the elements (integers; of a float format float64, not yet rounded to it) in
    the shape of `values`, and the steps (float64), of that shape without `axis`. A step for what is
    all zeros is 1.

    For activations: ``q, step = heddle.quantise(x)``, then ``device.matmul(q, w, bias=bias / step,
    scale=step)``. Raises `FormatError` for numbers that are not finite.
    """
    format, array = format_of(format), as_array(values).astype(np.float64)
    if axis is not None and not -array.ndim <= axis < array.ndim:
        raise FormatError(f"an array of rank {array.ndim} has no axis {axis}")
    steps = step(np.abs(array).max(axis=axis, initial=0), format)
    return divided(array, steps if axis is None else np.expand_dims(steps, axis), format), steps


def step(largest, format: Format) -> np.ndarray:
    """The step with which the magnitude `largest` just fits `format`; 1 for a zero."""
    top = largest_value(format)
    largest = np.asarray(largest, np.float64)
    # A step has to be a normal number: what is smaller than that becomes zero.
    return np.where(largest == 0, 1.0, np.maximum(largest / top, np.finfo(np.float64).tiny))


def fitted(values: np.ndarray, format: Format) -> np.ndarray:
    """Numbers as they are where `format` takes them; where it would refuse some, for every code of
    it is a number, rounded (integers) and clipped to it."""
    if not format.saturates:
        return values
    largest = largest_value(format)
    return np.clip(values if format.is_float else np.rint(values), -largest, largest)


def divided(array: np.ndarray, steps, format: Format) -> np.ndarray:
    """`array / steps`, for an integer format rounded and clipped to it. Raises `FormatError` for
    numbers that are not finite."""
    if not np.isfinite(array).all():
        raise FormatError("an infinity or NaN cannot be quantised")
    quotient = array / steps
    if format.is_float:
        return quotient
    limit = largest_value(format)
    size = np.dtype(raw_dtype(format)).itemsize
    return np.clip(np.rint(quotient), -limit - 1, limit).astype(f"i{size}")
