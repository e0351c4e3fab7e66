"""The order of a product's commands: what is loaded how often, and that loads hide behind work."""

import numpy as np

from heddle.hw.commands import Opcode, OutputFormat, Target
from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.sim.simulated import SimulatedTransport
from heddle.sw import driver, packing, plan, protocol
from heddle.sw.device import Device
from heddle.sw.elements import to_raw

SMALL = Config("small", 4, 4, FP16, activation_groups=32, weight_slots=64, schedule_records=32)


def loads(config, rows, inner, outputs, target) -> int:
    """Words that a dense product loads into a buffer."""
    x, w = np.ones((rows, inner)), np.ones((inner, outputs))
    weights = packing.pack(w, config.format, 8, 8)
    settings = driver.settings(config, outputs)
    made = plan.Plan(config, to_raw(x, config.format), weights, settings, False, OutputFormat.FP32)
    words = 0
    for packet in made.packets()[0]:
        header = protocol.HEADER.unpack(packet[:32])
        if header[0] & 0xFF == Opcode.LOAD and header[1] == target:
            words += header[3]
    return words


def test_what_fits_is_loaded_once():
    # 4 blocks of rows x 8 groups fill a page; 8 column blocks x 64 slots need eight.
    assert loads(SMALL, 16, 64, 32, Target.ACTIVATIONS) == 4 * 8
    assert loads(SMALL, 16, 64, 32, Target.VALUES) == 8 * 64


def test_rows_stay_while_k_is_split():
    # K = 192 is three parts of 8 groups for the weights, and 24 groups of activations in a page.
    assert loads(SMALL, 8, 192, 16, Target.ACTIVATIONS) == 2 * 24
    assert loads(SMALL, 8, 192, 16, Target.VALUES) == 2 * 4 * 192
    # K = 512 is too long for a page: every tile loads its rows again.
    assert loads(SMALL, 8, 512, 16, Target.ACTIVATIONS) == 2 * 4 * 64


def test_loads_hide_behind_the_work():
    """Rows that do not fit whole, weights in several batches: the array hardly waits."""
    config = Config("hide", 4, 4, INT8, activation_groups=128, weight_slots=256)
    rng = np.random.default_rng(2)
    x = rng.integers(-128, 128, (160, 64)).astype(np.int8)
    w = rng.integers(-128, 128, (64, 64)).astype(np.int8)
    with Device(SimulatedTransport(config)) as device:
        _, stats = driver.matmul(device, x, packing.pack(w, INT8, 8, 8))
    assert stats.stalls["host"] + stats.stalls["schedule"] < 0.02 * stats.cycles
