"""Boards: clocks that their PLLs can make, pins that exist, top levels that can be generated."""

import pytest

from heddle.hw.config import ConfigError
from heddle.hw.link import uart
from heddle.hw.platforms import BOARDS, Family, board
from heddle.hw.platforms import pins as wires
from heddle.hw.platforms.constraints import cst, lpf, pcf
from heddle.hw.platforms.pins import clock_hz, pins
from heddle.hw.platforms.top import dividers_of, generate

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
        chosen = dividers_of(board, build)
        assert chosen.output_hz <= build.mhz * 1e6 * (1 + 1e-9)


def test_what_is_held_high_is():
    """ULX3S: the ESP32's GPIO 0, which must not be low for seconds, and its enable."""
    ulx3s = board("ulx3s-85f")
    for port, site in (("esp32_gpio0", "L2"), ("esp32_en", "F1")):
        assert f'LOCATE COMP "{port}" SITE "{site}";' in lpf(ulx3s)
    text = generate(ulx3s, ulx3s.build("int8_4x4"))
    for port in ("esp32_gpio0", "esp32_en"):
        assert f"output {port};" in text and f"assign {port} = 1'h1;" in text


def test_attributes_of_pins_are_told():
    assert 'IOBUF PORT "rx" IO_TYPE=LVCMOS33 PULLMODE=UP;' in lpf(board("orangecrab-25f"))
    assert "set_io -pullup yes rx 6\n" in pcf(board("icebreaker"))
    tang = cst(board("tang-nano-9k"))
    assert 'IO_PORT "rx" PULL_MODE=UP IO_TYPE=LVCMOS33;' in tang
    # Of a bank of 1.8 V, whatever amaranth-boards says.
    assert all(f'IO_PORT "{led}" IO_TYPE=LVCMOS18;' in tang for led in ("busy", "error"))


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
