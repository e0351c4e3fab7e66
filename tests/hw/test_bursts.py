"""Which AXI4 buses there can be."""

import pytest

from heddle.hw.bus.bursts import width_of
from heddle.hw.config import Config, preset
from heddle.hw.errors import ConfigError
from heddle.hw.formats import FP16, INT8


@pytest.mark.parametrize(
    "config, bits",
    [
        (Config("narrow", 4, 4, INT8), 64),
        (Config("wide", 8, 8, FP16, lanes=8), 1024),
        (preset("medium"), 512),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_bus_is_as_wide_as_a_beat(config, bits):
    assert width_of(config) == bits


def test_what_axi4_cannot_move_is_refused():
    wider = Config("wider", 16, 16, FP16, lanes=16)
    with pytest.raises(ConfigError, match="'wider' has 256: choose other lanes"):
        width_of(wider)
