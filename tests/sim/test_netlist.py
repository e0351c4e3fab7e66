"""What Yosys makes of a whole small accelerator does what its source does, bit for bit.

The ECP5 netlist runs in the simulator in place of the generated Verilog, behind the same driver.
Buffers are in distributed RAM (``-nobram``): a block RAM has no model.
"""

import numpy as np
import pytest

from heddle.hw import verilog
from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8, ROUNDED
from heddle.sim.testbenches import traffic
from heddle.sw.flow import synthesis
from heddle.sw.host.device import Device
from heddle.sw.report.cross_coverage import random_product
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

PAGES = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
INT8_CONFIG = Config("int8", 2, 2, INT8, **PAGES)
FP16_CONFIG = Config("fp16", 2, 2, FP16, **PAGES)
STALLS = Stalls(0.2, 0.2, seed=3)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[INT8_CONFIG, FP16_CONFIG], ids=lambda c: c.name)
def netlist(request):
    """A configuration and its netlist with the models of its cells."""
    config = request.param
    # Without what asks for block RAM, for which there is no model here.
    source = verilog.generate(config).replace('(* ram_style = "block" *)', "")
    text = synthesis.netlist(source, verilog.TOP, ["-nobram"])
    assert "MULT18X18D" in text and "TRELLIS_DPR16X4" in text and "DP16KD" not in text
    return config, synthesis.cell_models() + text


def mapped(config, text):
    """The netlist as a device; its C++ is so long that optimising it would not pay."""
    return SimulatedTransport(config, text=text, stalls=STALLS, optimise="-O0")


def test_products(netlist):
    config, text = netlist
    rng = np.random.default_rng(11)
    with Device(mapped(config, text), config.name) as device:
        for n, output in zip((None, 0, 1, 2, 4, 8), [*ROUNDED] * 2, strict=True):
            shape = (int(rng.integers(1, 7)), int(rng.integers(1, 70)), int(rng.integers(1, 6)))
            relu, bias = bool(rng.integers(2)), rng.standard_normal(shape[2])
            random_product(device, rng, n, shape, bias=bias, relu=relu, output=output)


def test_packets_good_and_bad(netlist):
    """Byte for byte and cycle for cycle what the source answers."""
    config, text = netlist
    rng = np.random.default_rng(12)
    packets = [traffic.command(config, rng) for _ in range(150)]
    source = SimulatedTransport(config, stalls=STALLS)
    other = mapped(config, text)
    assert other.exchange(packets) == source.exchange(packets)
    assert other.cycles == source.cycles
    for address in range(0, 256, 4):
        assert other.read_register(address) == source.read_register(address)
    source.close()
    other.close()
