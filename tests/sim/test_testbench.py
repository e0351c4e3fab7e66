"""The cocotb runner: passes, failures and broken simulations are told apart."""

import pytest

from heddle.hw.config import Config
from heddle.hw.formats import INT8
from heddle.sim.testbenches.runner import TestbenchFailure, simulate

from .loopback import Loopback

CONFIG = Config("narrow", 8, 4, INT8)
MODULE = "tests.sim.loopback_bench"


def run(**environment):
    return simulate(Loopback(CONFIG), MODULE, "loopback", environment, timeout=60)


def test_a_pass_returns_its_tests():
    assert list(run(EXPECTED="255")) == ["inverts_a_beat"]


def test_a_failing_test_raises_with_the_log():
    with pytest.raises(TestbenchFailure, match="failed: inverts_a_beat") as failure:
        run(EXPECTED="254")
    assert "AssertionError" in str(failure.value)


def test_a_module_that_does_not_exist_is_a_failure():
    with pytest.raises(TestbenchFailure, match="no_such_module"):
        simulate(Loopback(CONFIG), "tests.sim.no_such_module", "loopback", timeout=60)
