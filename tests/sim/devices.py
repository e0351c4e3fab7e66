"""Devices with tensor memory that programs are run on."""

from heddle.hw.config import Config
from heddle.hw.formats import FP16
from heddle.sim.golden.device import ModelTransport
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

LANES = Config("lanes", 4, 4, FP16, lanes=2, tensor_words=2048, activation_groups=64)
DEVICES = {
    "model": ModelTransport,
    "simulated": SimulatedTransport,
    "stalled": lambda config: SimulatedTransport(config, stalls=Stalls(0.3, 0.3, seed=3)),
}
