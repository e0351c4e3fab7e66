"""Pieces of rounding: where a number begins, and a shift that remembers what it lost."""

from amaranth import Cat, Const, Mux, Value
from amaranth.utils import ceil_log2


def leading_one(value: Value) -> Value:
    """Index of the most significant one of `value` (0 if there is none); depth log2 of width."""
    index, _ = _leading_one(value)
    return index


def _leading_one(value: Value) -> tuple[Value, Value]:
    if len(value) == 1:
        return Const(0, 0), value
    half = 1 << (ceil_log2(len(value)) - 1)
    low_index, low_any = _leading_one(value[:half])
    high_index, high_any = _leading_one(value[half:])
    width = ceil_log2(half)
    low_index, high_index = (
        Cat(low_index, Const(0, width))[:width],
        Cat(high_index, Const(0, width))[:width],
    )
    return Cat(Mux(high_any, high_index, low_index), high_any), low_any | high_any


def shift_stage(value: Value, sticky: Value, amount: Value, bit: int, keep: int):
    """One stage of a right shift by ``2**bit`` if bit `bit` of `amount` is set.

    Returns the value, cut to `keep` bits (the caller knows that the rest is zero), and the sticky
    bit: whether a one has been shifted out so far.
    """
    distance = 1 << bit
    lost = value[:distance].any() & amount[bit]
    return Mux(amount[bit], value[distance:], value)[:keep], sticky | lost
