"""PLLs: every setting that is computed keeps every limit of its data sheet.

What a setting does is computed here anew, from the cell's parameters by the manual's formulae, in
exact arithmetic.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from heddle.hw.config import ConfigError
from heddle.hw.platforms import BOARDS, board, top
from heddle.hw.platforms.open_plls import ECP5, GW1N9, ICE40
from heddle.hw.platforms.pins import clock_hz
from heddle.hw.platforms.pll import add_pll, dividers
from heddle.hw.platforms.series7 import SERIES7
from heddle.hw.platforms.top import BoardTop, dividers_of
from heddle.hw.platforms.vendor import VENDOR_BOARDS, System

OPEN = list(BOARDS.values())
SERIAL = [b for b in VENDOR_BOARDS.values() if b.system is System.SERIAL]

LIMITS = {
    # MHz: input, phase detector, oscillator, output. ECP5: Lattice FPGA-DS-02012; iCE40 UltraPlus:
    # FPGA-DS-02008; GW1NR-9 C6/I5: Gowin DS117; Artix-7, speed grade -1: AMD DS181.
    "EHXPLLL": ((8, 400), (10, 400), (400, 800), (3.125, 400)),
    "SB_PLL40_PAD": ((10, 133), (10, 133), (533, 1066), (16, 275)),
    "rPLL": ((3, 400), (3, 400), (400, 1200), (3.125, 600)),
    "PLLE2_BASE": ((19, 800), (19, 450), (800, 1600), (6.25, 800)),
}
DIVIDERS = {
    # What a cell's parameters may be: reference, feedback, outputs.
    "EHXPLLL": (range(1, 129), range(1, 81), range(1, 129)),
    "SB_PLL40_PAD": (range(16), range(128), range(1, 7)),
    "rPLL": (range(64), range(64), (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)),
    "PLLE2_BASE": (range(1, 57), range(2, 65), range(1, 129)),
}


# What their values mean: the iCE40's and Gowin's parameters are one less, the iCE40's output's the
# logarithm.
MEANT = {
    "EHXPLLL": (ECP5, DIVIDERS["EHXPLLL"]),
    "SB_PLL40_PAD": (ICE40, (range(1, 17), range(1, 129), (2, 4, 8, 16, 32, 64))),
    "rPLL": (GW1N9, (range(1, 65), range(1, 65), DIVIDERS["rPLL"][2])),
    "PLLE2_BASE": (SERIES7, DIVIDERS["PLLE2_BASE"]),
}


@pytest.mark.parametrize("cell", MEANT)
def test_a_plls_limits_are_its_data_sheets(cell):
    pll, dividers = MEANT[cell]
    ranges = (pll.input_hz, pll.detector_hz, pll.oscillator_hz, pll.output_hz)
    assert [tuple(hz / 1e6 for hz in limits) for limits in ranges] == list(LIMITS[cell])
    assert (pll.references, pll.feedbacks, tuple(pll.posts)) == (*dividers[:2], tuple(dividers[2]))


@dataclass
class Measured:
    """A setting, in MHz."""

    cell: str
    detector: Fraction
    oscillator: Fraction
    outputs: list[Fraction]
    """The one that clocks the design first, then the one that closes the loop, if it is another."""
    settings: tuple[int, int, list[int]]


def measure(pll, chosen, mhz: Fraction) -> Measured:
    """What the cell that `chosen` makes does with an input of `mhz`."""
    m = SimpleNamespace(submodules=SimpleNamespace())
    out, _ = add_pll(m, pll, Signal(name="clk"), chosen)  # type: ignore[arg-type]
    cell = m.submodules.pll
    p = {name: getattr(value, "value", value) for name, value in cell.parameters.items()}
    if cell.type == "EHXPLLL":
        looped = cell.ports["CLKFB"][0]
        assert p["FEEDBK_PATH"] == "CLKOP" and cell.ports["CLKOP"][0] is looped
        detector = mhz / p["CLKI_DIV"]
        oscillator = detector * p["CLKFB_DIV"] * p["CLKOP_DIV"]
        used = [name for name in ("CLKOP", "CLKOS") if name in cell.ports]
        assert cell.ports[used[-1]][0] is out
        assert all(p[f"{name}_ENABLE"] == "ENABLED" for name in used)
        posts = [p[f"{name}_DIV"] for name in reversed(used)]
        settings = (p["CLKI_DIV"], p["CLKFB_DIV"], posts)
    elif cell.type == "SB_PLL40_PAD":
        assert p["FEEDBACK_PATH"] == "SIMPLE"
        detector = mhz / (p["DIVR"] + 1)
        oscillator = detector * (p["DIVF"] + 1)
        posts = [1 << p["DIVQ"]]
        settings = (p["DIVR"], p["DIVF"], [p["DIVQ"]])
    elif cell.type == "rPLL":
        detector = mhz / (p["IDIV_SEL"] + 1)
        posts = [p["ODIV_SEL"]]
        oscillator = detector * (p["FBDIV_SEL"] + 1) * p["ODIV_SEL"]
        settings = (p["IDIV_SEL"], p["FBDIV_SEL"], posts)
    else:
        detector = mhz / p["DIVCLK_DIVIDE"]
        oscillator = detector * p["CLKFBOUT_MULT"]
        posts = [p["CLKOUT0_DIVIDE"]]
        settings = (p["DIVCLK_DIVIDE"], p["CLKFBOUT_MULT"], posts)
    outputs = [oscillator / post for post in posts]
    return Measured(cell.type, detector, oscillator, outputs, settings)


def keeps_its_limits(measured: Measured, mhz: Fraction) -> bool:
    values = ([mhz], [measured.detector], [measured.oscillator], measured.outputs)
    ranges = LIMITS[measured.cell]
    allowed = DIVIDERS[measured.cell]
    settings = ([measured.settings[0]], [measured.settings[1]], measured.settings[2])
    return all(
        Fraction(least) <= value <= Fraction(most)
        for of, (least, most) in zip(values, ranges, strict=True)
        for value in of
    ) and all(value in may for of, may in zip(settings, allowed, strict=True) for value in of)


@pytest.mark.parametrize("of", [*OPEN, *SERIAL], ids=lambda b: b.name)
def test_every_setting_keeps_every_limit(of):
    """A board's oscillator and many clocks: each is made within the limits, or refused."""
    hz = clock_hz(of)
    mhz = Fraction(hz) / 10**6
    made = 0
    for quarter in range(10, 4 * 130, 7):
        wanted = Fraction(quarter, 4)
        try:
            chosen = dividers(of.pll, hz, float(wanted) * 1e6)
        except ConfigError as refusal:
            assert "the nearest clock is" in str(refusal)
            continue
        made += 1
        found = measure(of.pll, chosen, mhz)
        assert keeps_its_limits(found, mhz), (wanted, found)
        assert Fraction(98, 100) * wanted <= found.outputs[0] <= wanted
        # What is said of it is what it does.
        assert chosen.output_hz == pytest.approx(float(found.outputs[0]) * 1e6, rel=1e-12)
    assert made > 50


@pytest.mark.parametrize("mhz", [8, 12, 25, 27, 48, 50, 100, 125, 133])
@pytest.mark.parametrize("pll", [ECP5, ICE40, GW1N9, SERIES7], ids=lambda p: p.source.split(",")[0])
def test_every_oscillator_gives_a_legal_clock_or_none(pll, mhz):
    for wanted in (20, 33.3, 80, 100):
        try:
            chosen = dividers(pll, mhz * 1e6, wanted * 1e6)
        except ConfigError:
            continue
        assert keeps_its_limits(measure(pll, chosen, Fraction(mhz)), Fraction(mhz))


@pytest.mark.parametrize("of", [*OPEN, *SERIAL], ids=lambda b: b.name)
def test_every_build_has_the_clock_that_it_asks_for(of, monkeypatch):
    """And the serial line's divider, and the tools, are told what the PLL really makes."""
    builds = of.builds if of in OPEN else [of.build()]
    told = []

    class Told(wiring.Component):
        rx: In(1)
        tx: Out(1)
        busy: Out(1)
        error: Out(1)

        def __init__(self, config, hz, baud, library):
            super().__init__()
            told.append((hz, baud))

        def elaborate(self, platform):
            return Module()

    monkeypatch.setattr(top, "SerialAccelerator", Told)
    for build in builds:
        Fragment.get(BoardTop(of, build), None)
        mhz = Fraction(clock_hz(of)) / 10**6
        found = measure(of.pll, dividers_of(of, build), mhz)
        assert keeps_its_limits(found, mhz)
        assert found.outputs[0] == Fraction(build.mhz) and told[-1] == (build.mhz * 1e6, 1_000_000)


def test_ulx3s_makes_80_mhz_by_an_output_for_the_loop():
    """As `ecppll --highres --clkin 25 --clkout0 80` of Project Trellis does; the phase detector at
    25 MHz. By one output alone it would be at 5, below what the data sheet allows."""
    ulx3s = board("ulx3s-85f")
    chosen = dividers_of(ulx3s, ulx3s.build("fp16_8x8"))
    found = measure(ECP5, chosen, Fraction(25))
    assert found.settings == (1, 1, [5, 16])
    assert (found.detector, found.oscillator, found.outputs) == (25, 400, [80, 25])


@pytest.mark.parametrize(
    ("mhz", "wanted", "oscillator"),
    [(25, 100, 600), (25, 75, 600), (48, 60, 600), (100, 100, 600), (100, 80, 560), (12, 48, 576)],
)
def test_ecp5s_oscillator_is_near_the_middle_of_its_range(mhz, wanted, oscillator):
    """Of 400 to 800 MHz; the last one is what Lattice's own tool chose."""
    found = measure(ECP5, dividers(ECP5, mhz * 1e6, wanted * 1e6), Fraction(mhz))
    assert (found.oscillator, found.outputs[0]) == (oscillator, wanted)


def test_ecp5s_loop_filter_is_set_as_lattices_tools_set_it():
    """nextpnr's defaults are zero. Source: what Project Trellis' `ecppll` writes."""
    m = SimpleNamespace(submodules=SimpleNamespace())
    add_pll(m, ECP5, Signal(), dividers(ECP5, 25e6, 100e6))  # type: ignore[arg-type]
    expected = {"ICP_CURRENT": "12", "LPF_RESISTOR": "8"}
    expected |= {"MFG_ENABLE_FILTEROPAMP": "1", "MFG_GMCREF_SEL": "2"}
    assert expected.items() <= m.submodules.pll.attrs.items()


def test_dividers_of_an_ice40_are_those_of_icepll():
    """`icepll -i 12 -o 18` of Project IceStorm says DIVR 0, DIVF 47, DIVQ 5, and VCO 576 MHz."""
    found = measure(ICE40, dividers(ICE40, 12e6, 18e6), Fraction(12))
    assert found.settings == (0, 47, [5]) and found.oscillator == 576


@pytest.mark.parametrize(
    ("pll", "mhz", "wanted", "said"),
    [
        (
            ECP5,
            25,
            1000,
            "makes 1000 MHz of 25 MHz within .*FPGA-DS-02012.*nearest clock is 400 MHz",
        ),
        (ECP5, 25, 3, "nearest clock is 3.125 MHz"),
        (ICE40, 12, 15, "FPGA-DS-02008.*nearest clock is 16.125 MHz"),
        (GW1N9, 27, 650, "DS117.*nearest clock is 594 MHz"),
        (SERIES7, 100, 5, "DS181.*nearest clock is 6.25 MHz"),
        (ECP5, 5, 80, "oscillator must be of 8 to 400 MHz"),
        (ECP5, 8, 80, "from this oscillator there is none"),
        (ICE40, 8, 24, "oscillator must be of 10 to 133 MHz"),
        (SERIES7, 12, 75, "oscillator must be of 19 to 800 MHz"),
    ],
)
def test_what_no_setting_makes_is_refused(pll, mhz, wanted, said):
    with pytest.raises(ConfigError, match=said):
        dividers(pll, mhz * 1e6, wanted * 1e6)


def test_a_clock_that_is_only_nearly_made_is_told_as_it_is():
    """79.9 MHz of 25: 12.5 × 51 / 8."""
    ulx3s = board("ulx3s-85f")
    build = replace(ulx3s.build("int8_4x4"), mhz=79.9)
    assert dividers_of(ulx3s, build).output_hz == 79_687_500
