"""Boards: clocks that their PLLs can make, pins that exist, top levels that can be generated."""

import pytest

from hw.config import ConfigError
from hw.platforms import BOARDS, board
from hw.platforms.pins import clock_hz, constraints, pins
from hw.platforms.pll import ECP5, dividers
from hw.platforms.top import BoardTop, generate


@pytest.mark.parametrize("wanted", [25e6, 50e6, 75e6, 80e6, 100e6, 125e6])
@pytest.mark.parametrize("oscillator", [25e6, 100e6])
def test_a_pll_keeps_its_ranges(wanted, oscillator):
    found = dividers(ECP5, oscillator, wanted)
    assert 0.98 * wanted <= found.output_hz <= wanted * (1 + 1e-9)
    assert 400e6 <= found.oscillator_hz <= 800e6
    assert 3.125e6 <= found.detector_hz <= 400e6
    assert found.output_hz == oscillator * found.feedback / found.reference


def test_a_pll_says_what_it_cannot():
    with pytest.raises(ConfigError, match="no PLL setting makes 1000 MHz"):
        dividers(ECP5, 25e6, 1e9)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_build_can_be_clocked(board):
    placed = pins(board)
    assert {"clk", "rx", "tx"} <= set(placed)
    assert len({pin.site for pin in placed.values()}) == len(placed)
    text = constraints(board)
    assert all(f'LOCATE COMP "{port}" SITE "{pin.site}";' in text for port, pin in placed.items())
    assert f'FREQUENCY PORT "clk" {clock_hz(board) / 1e6:g} MHZ;' in text
    for build in board.builds:
        top = BoardTop(board, build)
        assert top.dividers.output_hz <= build.mhz * 1e6 * (1 + 1e-9)


def test_a_top_level_has_pll_and_accelerator():
    ulx3s = board("ulx3s-85f")
    text = generate(ulx3s, ulx3s.build("int8_4x4"))
    assert "EHXPLLL" in text and "module top(" in text and "ProcessingElement" in text


def test_what_is_not_there_is_said():
    with pytest.raises(ConfigError, match="no board 'none'; there are ulx3s-85f"):
        board("none")
    with pytest.raises(ConfigError, match="ulx3s-85f has no configuration 'fp16_99x99'"):
        board("ulx3s-85f").build("fp16_99x99")
