"""Clock dividers of the families' PLLs, and the cells that they go into.

`dividers` searches for the output nearest to the wanted frequency; `add_pll` makes the cell.
Ranges: Lattice FPGA-TN-02200 (ECP5).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amaranth import Const, Instance, Module, Signal

from ..config import ConfigError

MHZ = 1e6
TOLERANCE = 0.02
"""A PLL may miss the wanted frequency by this share, never upwards."""


@dataclass(frozen=True)
class Dividers:
    """The dividers of a PLL: output = input * feedback / reference, oscillator = output * post."""

    input_hz: float
    reference: int
    feedback: int
    post: int

    @property
    def output_hz(self) -> float:
        return self.input_hz * self.feedback / self.reference

    @property
    def oscillator_hz(self) -> float:
        return self.output_hz * self.post

    @property
    def detector_hz(self) -> float:
        """Frequency at which the phases are compared."""
        return self.input_hz / self.reference


@dataclass(frozen=True)
class Pll:
    """A family's PLL: its cell and what that can do."""

    cell: Callable[[Module, Signal, Dividers, Signal, Signal], None]
    """Adds the cell: clock in, dividers, clock out, lock."""
    references: range
    feedbacks: range
    posts: tuple[int, ...]
    detector_hz: tuple[float, float]
    oscillator_hz: tuple[float, float]


def _ecp5(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    m.submodules.pll = Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=f"{d.input_hz / MHZ:g}",
        a_FREQUENCY_PIN_CLKOP=f"{d.output_hz / MHZ:g}",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=d.post,
        p_CLKOP_CPHASE=d.post // 2,
        p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        p_CLKI_DIV=d.reference,
        p_CLKFB_DIV=d.feedback,
        i_CLKI=clk,
        i_CLKFB=out,
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(1),
        i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1),
        i_PLLWAKESYNC=Const(0),
        i_ENCLKOP=Const(0),
        o_CLKOP=out,
        o_LOCK=locked,
    )


ECP5 = Pll(
    _ecp5,
    range(1, 129),
    range(1, 81),
    tuple(range(1, 129)),
    (3.125e6, 400e6),
    (400e6, 800e6),
)


def _candidates(pll: Pll, input_hz: float) -> Iterator[Dividers]:
    def within(value: float, bounds: tuple[float, float]) -> bool:
        return bounds[0] <= value <= bounds[1]

    for reference in pll.references:
        if not within(input_hz / reference, pll.detector_hz):
            continue
        for feedback in pll.feedbacks:
            for post in pll.posts:
                found = Dividers(input_hz, reference, feedback, post)
                if within(found.oscillator_hz, pll.oscillator_hz):
                    yield found


def dividers(pll: Pll, input_hz: float, output_hz: float) -> Dividers:
    """The dividers whose output comes nearest to `output_hz` from below.

    Among equals the phases are compared as fast as possible (less jitter), with the slowest
    oscillator. Raises `ConfigError` if none comes within `TOLERANCE`.
    """
    fitting = [
        d
        for d in _candidates(pll, input_hz)
        if output_hz * (1 - TOLERANCE) <= d.output_hz <= output_hz * (1 + 1e-9)
    ]
    if not fitting:
        raise ConfigError(
            f"no PLL setting makes {output_hz / MHZ:g} MHz of {input_hz / MHZ:g} MHz; "
            "choose another core clock in hw/platforms/boards.py"
        )
    return max(fitting, key=lambda d: (d.output_hz, -d.reference, -d.oscillator_hz))


def add_pll(m: Module, pll: Pll, clk: Signal, chosen: Dividers) -> tuple[Signal, Signal]:
    """Add a PLL; returns its output clock and its lock signal."""
    out, locked = Signal(name="pll_clk"), Signal(name="pll_locked")
    pll.cell(m, clk, chosen, out, locked)
    return out, locked
