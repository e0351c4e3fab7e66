"""Boards of vendors' tools: what they carry can be clocked, connected and told apart."""

import pytest

from heddle.hw.bus.bursts import width_of
from heddle.hw.config import ConfigError
from heddle.hw.platforms import BOARDS
from heddle.hw.platforms.series7 import SERIES7
from heddle.hw.platforms.top import dividers_of
from heddle.hw.platforms.vendor import VENDOR_BOARDS, System, vendor_board


@pytest.mark.parametrize("board", VENDOR_BOARDS.values(), ids=VENDOR_BOARDS)
def test_every_board_can_be_built(board):
    assert width_of(board.config) == 8 * board.config.stream_bytes
    if board.system is System.SERIAL:
        found = dividers_of(board, board.build())
        assert found.output_hz == pytest.approx(board.mhz * 1e6)
        assert SERIES7.oscillator_hz[0] <= found.oscillator_hz <= SERIES7.oscillator_hz[1]
        assert found.oscillator_hz == found.input_hz * found.feedback / found.reference


def test_names():
    assert not set(BOARDS) & set(VENDOR_BOARDS)
    assert vendor_board("vcu1525").config.name == "paper"
    with pytest.raises(ConfigError, match="no board 'none'; there are ulx3s-85f.*pynq-z2"):
        vendor_board("none")
