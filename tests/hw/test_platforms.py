"""Boards: clocks that their PLLs can make, pins that exist, top levels that can be generated."""

import pytest

from heddle.hw import uart
from heddle.hw.config import ConfigError
from heddle.hw.platforms import BOARDS, Family, board
from heddle.hw.platforms import pins as wires
from heddle.hw.platforms.constraints import cst, lpf, pcf
from heddle.hw.platforms.pins import clock_hz, pins
from heddle.hw.platforms.pll import ECP5, GW1N9, ICE40, dividers
from heddle.hw.platforms.top import BoardTop, generate

# From the data sheets, in MHz: ranges of the oscillator, the phase detector and the output.
RANGES = {
    ECP5: ((400, 800), (3.125, 400), (3.125, 400)),
    ICE40: ((533, 1066), (10, 133), (16, 275)),
    GW1N9: ((400, 1200), (3, 400), (3.125, 600)),
}
WANTED = (
    (ECP5, 25, (25, 50, 75, 80, 100, 125)),
    (ECP5, 48, (24, 48, 60, 80, 96, 100)),
    (ECP5, 100, (25, 50, 75, 80, 100, 125)),
    (ICE40, 12, (16.5, 18, 20, 24, 30, 48)),
    (GW1N9, 27, (18, 24, 36, 45, 48, 54, 81)),
)


@pytest.mark.parametrize(
    ("pll", "oscillator", "wanted"), [(pll, i, o) for pll, i, outputs in WANTED for o in outputs]
)
def test_a_pll_keeps_its_ranges(pll, oscillator, wanted):
    found = dividers(pll, oscillator * 1e6, wanted * 1e6)
    assert 0.98 * wanted <= found.output_hz / 1e6 <= wanted * (1 + 1e-9)
    measured = (found.oscillator_hz, found.detector_hz, found.output_hz)
    for value, (least, most) in zip(measured, RANGES[pll], strict=True):
        assert least <= value / 1e6 <= most
    # What the phase detector compares is equal.
    back = found.oscillator_hz if pll is ICE40 else found.output_hz
    assert found.detector_hz == pytest.approx(back / found.feedback)


def test_dividers_of_an_ice40_are_those_of_icepll():
    """`icepll -i 12 -o 18` of Project IceStorm says DIVR 0, DIVF 47, DIVQ 5, and VCO 576 MHz."""
    found = dividers(ICE40, 12e6, 18e6)
    assert (found.reference, found.feedback, found.post) == (1, 48, 32)
    assert found.oscillator_hz == 576e6


def test_a_pll_says_what_it_cannot():
    with pytest.raises(ConfigError, match="no PLL setting makes 1000 MHz"):
        dividers(ECP5, 25e6, 1e9)


LINES = {
    Family.ECP5: (lpf, 'LOCATE COMP "{port}" SITE "{site}";', 'FREQUENCY PORT "clk" {mhz:g} MHZ;'),
    Family.ICE40: (pcf, "{port} {site}\n", "set_frequency clk {mhz:g}"),
    Family.GOWIN: (cst, 'IO_LOC "{port}" {site};', ""),
}
"""By family: the writer of constraints, and the lines of a pin and of the oscillator."""


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_build_can_be_clocked(board):
    placed = pins(board)
    assert {"clk", "rx", "tx"} <= set(placed)
    assert len({pin.site for pin in placed.values()}) == len(placed)
    write, line, clock = LINES[board.family]
    text = write(board)
    assert all(line.format(port=port, site=pin.site) in text for port, pin in placed.items())
    assert clock.format(mhz=clock_hz(board) / 1e6) in text
    for build in board.builds:
        top = BoardTop(board, build)
        assert top.dividers.output_hz <= build.mhz * 1e6 * (1 + 1e-9)


def test_attributes_of_pins_are_told():
    assert 'IOBUF PORT "rx" IO_TYPE=LVCMOS33 PULLMODE=UP;' in lpf(board("orangecrab-25f"))
    assert "set_io -pullup yes rx 6\n" in pcf(board("icebreaker"))
    assert 'IO_PORT "rx" PULL_MODE=UP IO_TYPE=LVCMOS33;' in cst(board("tang-nano-9k"))


@pytest.mark.parametrize(
    ("name", "pll"),
    [("ulx3s-85f", "EHXPLLL"), ("icebreaker", "SB_PLL40_PAD"), ("tang-nano-9k", "rPLL")],
)
def test_a_top_level_has_pll_and_accelerator(name, pll):
    text = generate(board(name), board(name).builds[-1])
    assert pll in text and "module top(" in text and "ProcessingElement" in text


def test_pins_of_ours_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(wires, "WIRES", tmp_path)
    with pytest.raises(ConfigError, match="orangecrab.toml: no pins to be read here"):
        pins(board("orangecrab-25f"))
    (tmp_path / "orangecrab.toml").write_text('[rx]\nIO_TYPE = "LVCMOS33"\n')
    with pytest.raises(ConfigError, match="site"):
        pins(board("orangecrab-25f"))


def test_what_is_not_there_is_said():
    with pytest.raises(ConfigError, match="no board 'none'; there are ulx3s-85f"):
        board("none")
    with pytest.raises(ConfigError, match="ulx3s-85f has no configuration 'fp16_99x99'"):
        board("ulx3s-85f").build("fp16_99x99")


@pytest.mark.parametrize("cycles", [4, 5, 8])
def test_the_serial_lines_clock_may_be_off_by_what_the_other_end_leaves(cycles):
    shorter, longer = uart.tolerance(cycles)
    lowest = (1 - shorter) * (1 + uart.PARTNER_ERROR)
    lowest = max(lowest, (1 + uart.PARTNER_ERROR) / (1 + uart.tolerance(16)[1]))
    assert uart.divisor(cycles * 1e6 * (lowest + 1e-6), 1_000_000) == cycles
    if cycles == 4:
        assert shorter == 0.025 and 0.994 < lowest < 0.995
    # Another divisor may do instead, but not this one.
    try:
        other = uart.divisor(cycles * 1e6 * (lowest - 1e-3), 1_000_000)
    except ConfigError:
        other = 0
    assert other != cycles
