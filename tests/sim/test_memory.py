"""Tensor memory through the host's own way, on the simulated device and the golden model."""

import numpy as np
import pytest

from heddle.hw.config import changed
from heddle.sim.golden.device import ModelTransport
from heddle.sw.errors import DeviceError, FormatError
from heddle.sw.host.device import Device
from heddle.sw.transports.simulated import SimulatedTransport

from .devices import TINY


@pytest.fixture(params=[ModelTransport, SimulatedTransport], ids=["model", "simulated"])
def device(request):
    with Device(request.param(TINY), "tensors") as device:
        yield device


def test_words_come_back_as_they_went(device):
    rng = np.random.default_rng(1)
    assert device.config.tensor_words == 4096
    whole = rng.integers(0, 256, (4096, 8), np.uint8)
    told = []
    device.write_memory(0, whole, told.append)
    # In two pieces of 16 KiB; a simulator tells when it stops in between.
    assert told[-1] == 1.0 and set(told) <= {0.5, 1.0}
    assert (device.read_memory(0, 4096) == whole).all()
    part = rng.integers(-(1 << 15), 1 << 15, (3, 7, 4), np.int16)
    device.write_memory(2040, part)
    whole[2040:2061] = part.view(np.uint8).reshape(21, 8)
    device.write_memory(4095, b"lastword")
    whole[4095] = list(b"lastword")
    assert (device.read_memory(2000, 2096) == whole[2000:]).all()
    assert device.read_memory(17, 0).shape == (0, 8)


def test_products_leave_it_alone(device):
    rng = np.random.default_rng(2)
    held = rng.integers(0, 256, (4096, 8), np.uint8)
    device.write_memory(0, held)
    x, w = rng.integers(-128, 128, (9, 40), np.int8), rng.integers(-128, 128, (40, 10), np.int8)
    y, _ = device.matmul(x, w)
    assert (y == x.astype(int) @ w.astype(int)).all()
    assert (device.read_memory(0, 4096) == held).all()


def test_what_does_not_fit(device):
    for address, count in ((4096, 1), (0, 4097), (-1, 1), (4000, 97)):
        with pytest.raises(FormatError, match="not all in tensor memory, whose 4,096 words end"):
            device.read_memory(address, count)
        with pytest.raises(FormatError, match="not all in tensor memory"):
            device.write_memory(address, bytes(8 * count))
    with pytest.raises(FormatError, match="9 bytes are no whole number of words of 8 bytes: pad"):
        device.write_memory(0, bytes(9))


def test_a_device_without_it():
    with Device(ModelTransport(changed(TINY, tensor_words=0))) as device:
        with pytest.raises(DeviceError, match="has no tensor memory: build one with tensor_words"):
            device.read_memory(0, 1)
