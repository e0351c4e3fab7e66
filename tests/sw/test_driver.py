"""What the driver makes of answers."""

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.sim.golden.device import ModelTransport
from heddle.sw.errors import DeviceError
from heddle.sw.host import driver
from heddle.sw.host.device import Device


class Disordered(ModelTransport):
    """Answers in another order than that of the commands, once it is told so."""

    swapped = (0, 0)

    def exchange(self, packets, on_response=None):
        answers = super().exchange(packets, on_response)
        a, b = self.swapped
        answers[a], answers[b] = answers[b], answers[a]
        return answers


@pytest.mark.parametrize("swapped", [(0, 1), (-1, -2)])
def test_answers_out_of_turn_are_noticed(swapped):
    transport = Disordered(preset("tiny"))
    x, w = np.ones((32, 64)), np.ones((64, 32))
    with Device(transport, "disordered") as device:
        result, _ = driver.matmul(device, x, w)
        assert (result == 64).all()
        transport.swapped = swapped
        with pytest.raises(DeviceError, match="answers another command"):
            driver.matmul(device, x, w)


def test_what_a_product_is_unless_told_otherwise():
    """No ReLU, no bias, no scale; numbers, not bits; in FP32."""
    with Device(ModelTransport(preset("tiny"))) as device:
        y, _ = driver.matmul(device, [[1, 2]], [[3, -4], [5, -6]])
        assert y.dtype == np.float32 and y.tolist() == [[13, -16]]
        y, _ = driver.matmul(device, [[1, 2]], [[3, -4], [5, -6]], relu=True)
        assert y.tolist() == [[13, 0]]
        y, _ = driver.matmul(device, [[1, 2]], [[3, -4], [5, -6]], raw=True)
        assert y.dtype == np.uint32 and y.tolist() == [[0x41500000, 0xC1800000]]
