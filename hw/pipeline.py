"""Registers in a row, and multiplication by a constant."""

from amaranth import Const, Module, Signal, Value


def register(
    m: Module, name: str, values: dict[str, Value], reset_less: bool = False
) -> dict[str, Signal]:
    """The values a cycle later, by the same keys; the registers are called ``<name>_<key>``."""
    later = {
        key: Signal.like(value, name=f"{name}_{key}", reset_less=reset_less)
        for key, value in values.items()
    }
    m.d.sync += [later[key].eq(value) for key, value in values.items()]
    return later


def delay(m: Module, name: str, value, cycles: int):
    """`value` (of any shape) `cycles` cycles later; the registers are called ``<name>_<n>``."""
    for n in range(cycles):
        later = Signal(value.shape(), name=f"{name}_{n}")
        m.d.sync += later.eq(value)
        value = later
    return value


def times(value: Value, factor: int) -> Value:
    """`value * factor` by additions: a constant is not worth a multiplier, nor its delay."""
    shifts = [bit for bit in range(factor.bit_length()) if factor >> bit & 1]
    return sum((value << bit for bit in shifts), start=Const(0, 0))
