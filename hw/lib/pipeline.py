"""Registers in a row, and multiplication by a constant.

Registers in a row have no reset: what is on its way runs out while a reset lasts (see
`hw/top.py`). A reset that reaches every bit of them is the longest net there is.
"""

from amaranth import Const, Module, Signal, Value


def register(m: Module, name: str, values: dict[str, Value]) -> dict[str, Signal]:
    """The values a cycle later, by the same keys; the registers are called ``<name>_<key>``."""
    later = {
        key: Signal.like(value, name=f"{name}_{key}", reset_less=True)
        for key, value in values.items()
    }
    m.d.sync += [later[key].eq(value) for key, value in values.items()]
    return later


def register_unless(
    spared: bool, m: Module, name: str, values: dict[str, Value]
) -> dict[str, Signal]:
    """As `register`, for what only a fast clock wants; the values at once if it is `spared`."""
    if not spared:
        return register(m, name, values)
    now = {key: Signal.like(value, name=f"{name}_{key}") for key, value in values.items()}
    m.d.comb += [now[key].eq(value) for key, value in values.items()]
    return now


def delay(m: Module, name: str, value, cycles: int):
    """`value` (of any shape) `cycles` cycles later; the registers are called ``<name>_<n>``."""
    for n in range(cycles):
        later = Signal(value.shape(), name=f"{name}_{n}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value


def times(value: Value, factor: int) -> Value:
    """`value * factor` by additions: a constant is not worth a multiplier, nor its delay."""
    shifts = [bit for bit in range(factor.bit_length()) if factor >> bit & 1]
    return sum((value << bit for bit in shifts), start=Const(0, 0))
