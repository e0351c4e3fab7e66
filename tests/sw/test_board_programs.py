"""The network of convolutions that ships, as one program on the board's configuration for it."""

from pathlib import Path

import numpy as np

import heddle
from heddle.hw.config import preset
from heddle.hw.platforms.boards import BOARDS
from heddle.sim.golden.device import ModelTransport
from heddle.sw.host.device import Device
from heddle.sw.nn import programs
from heddle.sw.nn.network import Network

NETWORK = Path(heddle.__file__).parent / "sw" / "nn" / "networks" / "digits-cnn-2of8.safetensors"
IMAGES = 8


def test_it_fits_and_is_right():
    """Eight images at a time; scores are those of any other array, and near what float32 makes."""
    network, rng = Network.load(NETWORK), np.random.default_rng(2)
    x, found = rng.random((IMAGES, 64)).astype("f4"), []
    for config in (BOARDS["ulx3s-85f"].build("fp16_8x4_programs").config, preset("medium")):
        made = programs.compiled(network, config, IMAGES)
        with Device(ModelTransport(config), config.name) as device:
            made.load(device)
            scores, counters = made.run(device, x)
        assert counters["errors"] == 0
        found.append(scores)
    assert found[0].tobytes() == found[1].tobytes()
    assert np.allclose(found[0], network.float32(x), atol=0.05)
