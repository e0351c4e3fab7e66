"""Devices with tensor memory that programs are run on."""

from dataclasses import replace

from heddle.hw.config import Config, preset
from heddle.hw.formats import FP16, INT8
from heddle.sim.golden.device import ModelTransport
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

TINY = replace(preset("tiny"), name="tensors", tensor_words=4096, vector_lanes=2)
"""One for all tests: its simulator is built once. Its vector unit takes elements of any size."""
PAGED = replace(
    preset("tiny"), name="program", tensor_words=2048, activation_groups=16, weight_slots=64
)
"""With pages that products of some size do not fit into."""
LANES = Config("lanes", 4, 4, FP16, lanes=2, tensor_words=2048, activation_groups=64)
TRAINING = Config(
    *("training", 8, 8, INT8),
    activation_groups=16,
    weight_slots=64,
    schedule_records=64,
    tensor_words=4096,
    training=True,
)
"""Whose pages have 64 rows of both operands of a weight gradient."""
DEVICES = {
    "model": ModelTransport,
    "simulated": SimulatedTransport,
    "stalled": lambda config: SimulatedTransport(config, stalls=Stalls(0.3, 0.3, seed=3)),
}
