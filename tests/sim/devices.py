"""Devices with tensor memory that programs are run on."""

from dataclasses import replace

from heddle.hw.config import Config, preset
from heddle.hw.formats import FP16
from heddle.sim.golden.device import ModelTransport
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

TINY = replace(preset("tiny"), name="tensors", tensor_words=4096, vector_lanes=2)
"""One for all tests: its simulator is built once. Its vector unit takes elements of any size."""
PAGED = replace(
    preset("tiny"), name="program", tensor_words=2048, activation_groups=16, weight_slots=64
)
"""With pages that products of some size do not fit into."""
LANES = Config("lanes", 4, 4, FP16, lanes=2, tensor_words=2048, activation_groups=64)
DEVICES = {
    "model": ModelTransport,
    "simulated": SimulatedTransport,
    "stalled": lambda config: SimulatedTransport(config, stalls=Stalls(0.3, 0.3, seed=3)),
}
