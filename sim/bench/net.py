"""Whole networks as one program on the device, by the hardware's counters."""

from collections.abc import Iterator

import numpy as np

from ...hw.config import preset
from ...hw.formats import FP16, INT8
from ...hw.isa.registers import STALLS
from ...sw.host.open import open_device
from ...sw.nn import data
from ...sw.nn.network import SHIPPED, Network, golden
from ...sw.nn.programs import compiled
from .util import row

IMAGES = 16
ROOM = 1 << 14
"""Words of tensor memory: all weights of the dense network, and its activations."""
ROWS = (
    ("net.digits-mlp.16images", "small", FP16, 3.0),
    ("net.digits-mlp-int8.16images", "tiny", INT8, 3.2),
    ("net.digits-mlp.16images.medium", "medium", FP16, None),
)


def rows(only: str) -> Iterator[dict]:
    for prefix, name, format, target in ROWS:
        if not (prefix.startswith(only) or only.startswith(prefix)):
            continue
        network = Network.load(SHIPPED[format])
        config = preset(name, tensor_words=ROOM)
        images = data.load(network.data).first(IMAGES).test_x
        expected = network.run(images, golden(config))[-1]
        counted = []
        with open_device("sim", config=config) as opened:
            for dense in (True, False):
                program = compiled(network, config, IMAGES, dense)
                program.load(opened)
                scores, counters = program.run(opened, images)
                assert np.array_equal(scores, expected), "not as the golden model has it"
                counted.append(counters)
        dense, sparse = counted
        work = sum(layer.weights.shape[0] * layer.weights.shape[1] for layer in network.layers)
        utilisation = IMAGES * work / (config.macs_per_cycle * dense["cycles"])
        stalls = sum(sparse[stall] for stall in STALLS)
        note = (
            f"{sparse['cycles']:,} cycles on {name}, of which the array waited {stalls:,}; "
            f"dense {dense['cycles']:,}"
        )
        yield row(prefix, "speedup", dense["cycles"] / sparse["cycles"], target, note)
        yield row(prefix, "dense_utilisation", utilisation)
