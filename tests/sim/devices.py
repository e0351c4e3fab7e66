"""Devices with tensor memory that programs are run on."""

from dataclasses import replace

from heddle.hw.config import Config, preset
from heddle.hw.formats import FP16, INT8, OutputFormat
from heddle.hw.isa.commands import Run
from heddle.sim.golden.device import ModelTransport
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

TINY = replace(preset("tiny"), name="tensors", tensor_words=4096, vector_lanes=2)
"""One for all tests: its simulator is built once. Its vector unit takes elements of any size."""
PAGED = replace(
    preset("tiny"), name="program", tensor_words=2048, activation_groups=16, weight_slots=64
)
"""With pages that products of some size do not fit into."""
EVERYTHING = replace(TINY, name="everything", external_bits=14)
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
LEARNER = Config(
    *("learner", 8, 8, FP16),
    activation_groups=64,
    weight_slots=128,
    schedule_records=64,
    settings_pages=4,
    tensor_words=8192,
    vector_lanes=1,
    training=True,
)
"""That trains a network, and prunes it."""
DEVICES = {
    "model": ModelTransport,
    "simulated": SimulatedTransport,
    "stalled": lambda config: SimulatedTransport(config, stalls=Stalls(0.3, 0.3, seed=3)),
}


def tile(waits: int) -> Run:
    """A tile of one group record."""
    return Run(
        finish=1,
        relu=0,
        output=OutputFormat.INT8,
        settings_page=0,
        activation_base=0,
        activation_stride=0,
        row_blocks=1,
        slot_base=0,
        schedule_base=0,
        schedule_count=1,
        store=1,
        destination=512,
        words=4,
        pitch=1,
        groups=1,
        waits=waits,
    )
