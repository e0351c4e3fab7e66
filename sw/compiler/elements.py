"""What a number is: arrays of any library as elements of a format, checked and rounded once.

An array means its numbers, whatever their type: 200 is two hundred, as a uint8 too. Only `Raw`
means bits. A float format takes the nearest element; an integer format takes whole numbers in its
range and refuses everything else, for what it would make of it is hardly what was meant
(`sw.compiler.scaling` makes such numbers fit).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...hw.formats import FORMATS, Format
from ...sim.golden.numbers import from_float, is_finite, largest_value, raw_dtype
from ..errors import FormatError

REMEDY = (
    'heddle.pack(…, scale="column") and heddle.quantise divide by steps that make numbers fit, '
    "products are then multiplied by the steps"
)


@dataclass(frozen=True, eq=False)
class Raw:
    """Elements by their bits and not by their values: an array of uint8 or uint16, by the
    format's width. Accepted wherever numbers are."""

    bits: np.ndarray


def as_array(values: Any, what: str = "the array") -> np.ndarray:
    """Real numbers of any library as a NumPy array of integers or floats.

    Takes what NumPy takes; tensors of PyTorch (detached, made dense, copied from their device) with
    their narrow floats and ml_dtypes' as float32, which holds them exactly; sparse matrices, made
    dense. Raises `FormatError` for what is no real numbers, or hides some (masked arrays).
    """
    try:
        array = np.asarray(_plain(values))
        if array.dtype.kind == "V" and not array.dtype.name.startswith(("void", "record")):
            array = array.astype(np.float32)
    except Exception as reason:  # of other libraries, each with its own kinds
        raise FormatError(
            f"{what} cannot be read as numbers ({type(reason).__name__}: {reason}); "
            "make a NumPy array of it"
        ) from None
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise FormatError(f"{what} has masked elements: fill them first, for example with zeros")
    if array.dtype.kind not in "iuf":
        raise FormatError(f"{what} must hold real numbers, not {array.dtype}")
    return array


def _plain(values: Any) -> Any:
    """What NumPy can read of another library's array."""
    if hasattr(values, "toarray"):  # SciPy's sparse matrices
        return values.toarray()
    if not hasattr(values, "detach"):
        return values
    tensor = values.detach()
    if str(tensor.layout) != "torch.strided":
        tensor = tensor.to_dense()
    tensor = tensor.cpu()
    try:
        return tensor.numpy()
    except TypeError:  # a float that NumPy has no type for
        return tensor.float().numpy()


def to_raw(values: Any, format: Format, what: str = "the array") -> np.ndarray:
    """Numbers (or `Raw`) as elements' bits: uint8 or uint16, of the same shape.

    A float format rounds to nearest, ties to even. Raises `FormatError`, saying where, for a number
    that is not finite in `format`; for an integer format also for a fraction; and for another
    width of raw elements.
    """
    if isinstance(values, Raw):
        bits = np.asarray(values.bits)
        if bits.dtype != raw_dtype(format):
            raise FormatError(
                f"{what}: raw elements of {format.name} are {raw_dtype(format).__name__}, "
                f"not {bits.dtype}"
            )
        _refuse(~is_finite(format, bits), bits, what, f"is not a finite {format.name} number")
        return bits.copy()
    array = as_array(values, what)
    finite = np.isfinite(array)
    if format.saturates:
        _refuse(~finite, array, what, f"is not a finite {format.name} number")
        _refuse_unfit(array, format, what)
        return from_float(format, array)
    raw = from_float(format, np.where(finite, array, 0))
    reason = f"is not a finite {format.name} number ({_range(format)})"
    _refuse(~finite | ~is_finite(format, raw), array, what, f"{reason}; {REMEDY}")
    return raw


def _range(format: Format) -> str:
    """What a float format's numbers are."""
    highest = largest_value(format)
    if not format.window:
        return f"they end at {highest:g}"
    lowest = 2.0 ** (format.lowest_field - format.bias)
    return f"of its codes the array takes zero and magnitudes from {lowest:g} to {highest:g}"


def _refuse_unfit(array: np.ndarray, format: Format, what: str) -> None:
    """Numbers that are no elements of a format whose every code is one."""
    highest = int(largest_value(format)) if not format.is_float else largest_value(format)
    lowest = -highest if format.is_float else -highest - 1
    _refuse(
        (array < lowest) | (array > highest),
        array,
        what,
        f"is beyond {format.name} ({lowest} to {highest}); {REMEDY}",
    )
    if not format.is_float and array.dtype.kind == "f":
        _refuse(
            array != np.rint(array),
            array,
            what,
            f"is a fraction, and elements of {format.name} are whole numbers; {REMEDY}; to round "
            "as it stands, np.rint",
        )


def _refuse(bad: np.ndarray, array: np.ndarray, what: str, why: str) -> None:
    if not bad.any():
        return
    place = np.argwhere(bad)[0].tolist()
    count = int(np.count_nonzero(bad))
    others = f" (the first of {count:,} such of {array.size:,})" if count > 1 else ""
    raise FormatError(f"{what}: {array[tuple(place)]} at {place}{others} {why}")


def bits(values: np.ndarray) -> np.ndarray:
    """Numbers by their bits, as unsigned integers: equal only if every bit is, zeros' signs too."""
    return values.view(f"u{values.dtype.itemsize}")


def format_of(format: Format | str) -> Format:
    """The format called so. Raises `FormatError` if there is none."""
    if isinstance(format, Format):
        return format
    if not isinstance(format, str) or format.lower() not in FORMATS:
        raise FormatError(f"no format {format!r}; there are {', '.join(FORMATS)}")
    return FORMATS[format.lower()]
