"""The multiply-accumulate units that processing elements are built of, in one table.

A unit is a component made from a `Config`, with these members and one method:

    activation, weight : In(layouts.operand(format)), the pair to multiply, one every cycle
    last : In(1), the pair is the last of its dot product
    sum, done : Out(config.sum_bits), Out(1), the finished sum, `latency` cycles after that pair
    latency(config) : static method, cycles, at least 1

The pair of cycle t belongs to context t mod T, and the one T cycles after a `last` starts its sum
from zero. A pair with a weight of zero must change nothing. Everything around the unit follows its
`latency`. docs/extending.md swaps one.
"""

from dataclasses import dataclass

from amaranth.lib import wiring

from ..config import Accumulation, Config
from .exact_mac import ExactMac
from .fp32_mac import Fp32Mac, Fp32ToInteger


@dataclass(frozen=True)
class Unit:
    """How products are added, and how the sum becomes the integer that the epilogue takes."""

    mac: type[wiring.Component]
    to_integer: type[wiring.Component] | None = None
    """A pipeline like `Fp32ToInteger`; without one, sums are integers."""


UNITS = {
    Accumulation.EXACT: Unit(ExactMac),
    Accumulation.FP32: Unit(Fp32Mac, Fp32ToInteger),
}


def mac_type(config: Config) -> type[wiring.Component]:
    """The unit of a configuration's processing elements."""
    return UNITS[config.accumulation].mac


def longest_conversion() -> int:
    """Cycles of the slowest conversion to an integer."""
    return max(unit.to_integer.latency if unit.to_integer else 0 for unit in UNITS.values())
