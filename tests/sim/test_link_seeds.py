"""The testbenches of the serial line with other random numbers."""

import pytest

from heddle.sim.testbenches import link_bench, uart
from heddle.sim.testbenches.common import environment
from heddle.sim.testbenches.runner import simulate

from .test_testbenches import STREAMS

SEEDS = range(2, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("config", [STREAMS[0], STREAMS[2]], ids=["narrow", "wide"])
def test_link(config, seed):
    simulate(
        link_bench.link(config), "heddle.sim.testbenches.link", "link", environment(config, seed)
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_uart(seed):
    config = STREAMS[0]
    simulate(uart.Uart(config), "heddle.sim.testbenches.uart", "Uart", environment(config, seed))
