"""Clock dividers of the families' PLLs, and the cells that they go into.

`dividers` searches for the output nearest to the wanted frequency; `add_pll` makes the cell.
Ranges: Lattice FPGA-TN-02200 (ECP5), Lattice FPGA-TN-02052 and FPGA-DS-02008 (iCE40 UltraPlus),
Gowin DS117 and UG286 (GW1NR-9 of speed grade C6/I5).
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
    """The dividers of a PLL: output = oscillator / post.

    What is compared with input / reference is output / feedback, or, if not `post_inside` the
    loop, oscillator / feedback.
    """

    input_hz: float
    reference: int
    feedback: int
    post: int
    post_inside: bool = True

    @property
    def output_hz(self) -> float:
        outside = 1 if self.post_inside else self.post
        return self.input_hz * self.feedback / (self.reference * outside)

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
    output_hz: tuple[float, float]
    post_inside: bool = True
    """The loop goes through the divider at the output."""


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


def _ice40(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    # The loop filter's setting for each range of the compared frequency.
    filter_range = 1 + sum(d.detector_hz >= MHZ * edge for edge in (17, 26, 44, 66, 101))
    m.submodules.pll = Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_PLLOUT_SELECT="GENCLK",
        p_DIVR=Const(d.reference - 1, 4),
        p_DIVF=Const(d.feedback - 1, 7),
        p_DIVQ=Const(d.post.bit_length() - 1, 3),
        p_FILTER_RANGE=Const(filter_range, 3),
        i_PACKAGEPIN=clk,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=out,
        o_LOCK=locked,
    )


def _gw1n9(m: Module, clk: Signal, d: Dividers, out: Signal, locked: Signal):
    m.submodules.pll = Instance(
        "rPLL",
        p_DEVICE="GW1NR-9C",
        p_FCLKIN=f"{d.input_hz / MHZ:g}",
        p_DYN_IDIV_SEL="false",
        p_IDIV_SEL=d.reference - 1,
        p_DYN_FBDIV_SEL="false",
        p_FBDIV_SEL=d.feedback - 1,
        p_DYN_ODIV_SEL="false",
        p_ODIV_SEL=d.post,
        p_CLKFB_SEL="internal",
        p_CLKOUT_BYPASS="false",
        i_CLKIN=clk,
        i_CLKFB=Const(0),
        i_RESET=Const(0),
        i_RESET_P=Const(0),
        i_IDSEL=Const(0, 6),
        i_FBDSEL=Const(0, 6),
        i_ODSEL=Const(0, 6),
        i_PSDA=Const(0, 4),
        i_DUTYDA=Const(0, 4),
        i_FDLY=Const(0, 4),
        o_CLKOUT=out,
        o_LOCK=locked,
    )


ECP5 = Pll(
    _ecp5,
    references=range(1, 129),
    feedbacks=range(1, 81),
    posts=tuple(range(1, 129)),
    detector_hz=(3.125e6, 400e6),
    oscillator_hz=(400e6, 800e6),
    output_hz=(3.125e6, 400e6),
)
ICE40 = Pll(
    _ice40,
    references=range(1, 17),
    feedbacks=range(1, 129),
    posts=(2, 4, 8, 16, 32, 64),
    detector_hz=(10e6, 133e6),
    oscillator_hz=(533e6, 1066e6),
    output_hz=(16e6, 275e6),
    post_inside=False,
)
GW1N9 = Pll(
    _gw1n9,
    references=range(1, 65),
    feedbacks=range(1, 65),
    posts=(2, 4, *range(8, 129, 8)),
    detector_hz=(3e6, 400e6),
    oscillator_hz=(400e6, 1200e6),
    output_hz=(3.125e6, 600e6),
)


def _candidates(pll: Pll, input_hz: float, wanted: tuple[float, float]) -> Iterator[Dividers]:
    """All that keep the PLL's ranges, with the output within `wanted`."""

    def within(value: float, bounds: tuple[float, float]) -> bool:
        return bounds[0] <= value <= bounds[1]

    for reference in pll.references:
        if not within(input_hz / reference, pll.detector_hz):
            continue
        for feedback in pll.feedbacks:
            for post in pll.posts:
                found = Dividers(input_hz, reference, feedback, post, pll.post_inside)
                if within(found.output_hz, wanted):
                    if within(found.oscillator_hz, pll.oscillator_hz):
                        yield found
                elif pll.post_inside:
                    break  # no other one changes the output


def dividers(pll: Pll, input_hz: float, output_hz: float) -> Dividers:
    """The dividers whose output comes nearest to `output_hz` from below.

    Among equals the phases are compared as fast as possible (less jitter), with the slowest
    oscillator. Raises `ConfigError` if none comes within `TOLERANCE`.
    """
    least, most = pll.output_hz
    wanted = (max(least, output_hz * (1 - TOLERANCE)), min(most, output_hz * (1 + 1e-9)))
    fitting = list(_candidates(pll, input_hz, wanted))
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
