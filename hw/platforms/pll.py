"""Clock dividers of a PLL: the ones whose output comes nearest to a wanted frequency.

    input ──► ÷ reference ──► detector ──► oscillator ──┬──► ÷ post ──► output
                                 ▲                      │
                                 └── ÷ feedback ◄── ÷ loop

What a family's PLL can do is a `Pll`, with its data sheet's limits: `hw.platforms.open_plls`,
`hw.platforms.series7`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import ceil, floor

from amaranth import Module, Signal

from ..config import ConfigError

MHZ = 1e6
TOLERANCE = 0.02
"""A PLL may miss the wanted frequency by this share, never upwards."""
EXACT = 1e-9
"""Share within which two frequencies are one: what floating point loses."""

Range = tuple[float, float]
"""Least and most, both allowed."""


class Loop(Enum):
    """What the detector sees of the oscillator."""

    OSCILLATOR = "the oscillator itself"
    OUTPUT = "the output"
    ANY_OUTPUT = "the output, or another one with a divider of its own"


@dataclass(frozen=True)
class Dividers:
    """The dividers of a PLL, named in the module's picture."""

    input_hz: float
    reference: int
    feedback: int
    loop: int
    post: int

    @property
    def detector_hz(self) -> float:
        """Frequency at which the phases are compared."""
        return self.input_hz / self.reference

    @property
    def oscillator_hz(self) -> float:
        return self.input_hz * self.feedback * self.loop / self.reference

    @property
    def output_hz(self) -> float:
        return self.input_hz * self.feedback * self.loop / (self.reference * self.post)

    @property
    def loop_hz(self) -> float:
        """Frequency of the output that goes back to the detector."""
        return self.input_hz * self.feedback / self.reference


@dataclass(frozen=True)
class Pll:
    """A family's PLL: its cell, and the limits within which its data sheet lets it work."""

    cell: Callable[[Module, Signal, Dividers, Signal, Signal], None]
    """Adds the cell: clock in, dividers, clock out, lock."""
    source: str
    """Data sheet and table."""
    references: range
    feedbacks: range
    posts: tuple[int, ...]
    input_hz: Range
    detector_hz: Range
    oscillator_hz: Range
    output_hz: Range
    loop: Loop


def _within(value: float, bounds: Range) -> bool:
    return bounds[0] <= value <= bounds[1]


def _loops(pll: Pll, total: int, post: int) -> Iterator[tuple[int, int]]:
    """The pairs of feedback and loop whose product is `total`, the best one first."""
    if pll.loop is Loop.OSCILLATOR:
        loops = [1]
    elif pll.loop is Loop.OUTPUT:
        loops = [post]
    else:  # one output does for both, or the other one is as slow as can be
        loops = [post, *reversed(pll.posts)]
    for loop in loops:
        if total % loop == 0 and total // loop in pll.feedbacks:
            yield total // loop, loop


def _candidates(pll: Pll, input_hz: float, wanted: Range) -> Iterator[Dividers]:
    """All that keep the PLL's limits, with the output within `wanted`."""
    for reference in pll.references:
        detector = input_hz / reference
        if not _within(detector, pll.detector_hz):
            continue
        least, most = (bound / detector for bound in pll.oscillator_hz)
        for total in range(ceil(least * (1 - EXACT)), floor(most * (1 + EXACT)) + 1):
            for post in pll.posts:
                if not _within(input_hz * total / (reference * post), wanted):
                    continue
                for feedback, loop in _loops(pll, total, post):
                    found = Dividers(input_hz, reference, feedback, loop, post)
                    back = pll.loop is Loop.OSCILLATOR or _within(found.loop_hz, pll.output_hz)
                    if back and _within(found.oscillator_hz, pll.oscillator_hz):
                        yield found
                        break


def dividers(pll: Pll, input_hz: float, output_hz: float) -> Dividers:
    """The dividers whose output comes nearest to `output_hz` from below.

    Among equals the oscillator is as near as can be to the middle of its range, then one output
    does for the loop too, then the phases are compared as fast as possible (less jitter). Raises
    `ConfigError` if none comes within `TOLERANCE`, and names the nearest clock that there is.
    """
    asked = f"{output_hz / MHZ:g} MHz of {input_hz / MHZ:g} MHz"
    if not _within(input_hz, pll.input_hz):
        least, most = (bound / MHZ for bound in pll.input_hz)
        raise ConfigError(
            f"no PLL setting makes {asked}: the oscillator must be of {least:g} to {most:g} MHz "
            f"({pll.source})"
        )
    least, most = pll.output_hz
    wanted = (max(least, output_hz * (1 - TOLERANCE)), min(most, output_hz * (1 + EXACT)))
    middle = sum(pll.oscillator_hz) / 2
    best = max(
        _candidates(pll, input_hz, wanted),
        key=lambda d: (
            round(d.output_hz),
            -abs(d.oscillator_hz - middle),
            d.loop == d.post,
            -d.reference,
            -d.oscillator_hz,
        ),
        default=None,
    )
    if best is None:
        others = {d.output_hz for d in _candidates(pll, input_hz, pll.output_hz)}
        nearest = min(others, key=lambda hz: abs(hz - output_hz), default=None)
        raise ConfigError(
            f"no PLL setting makes {asked} within the limits of {pll.source}: "
            + (
                f"the nearest clock is {nearest / MHZ:g} MHz; choose that for the build in "
                "hw/platforms"
                if nearest
                else "from this oscillator there is none"
            )
        )
    return best


def add_pll(m: Module, pll: Pll, clk: Signal, chosen: Dividers) -> tuple[Signal, Signal]:
    """Add a PLL; returns its output clock and its lock signal."""
    out, locked = Signal(name="pll_clk"), Signal(name="pll_locked")
    pll.cell(m, clk, chosen, out, locked)
    return out, locked
