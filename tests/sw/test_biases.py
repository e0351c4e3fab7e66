"""Products whose biases lie in tensor memory, and have just been made there."""

import numpy as np
import pytest

from heddle.hw.config import changed
from heddle.hw.formats import OutputFormat
from heddle.hw.isa.codes import Flag
from heddle.sim.golden import schedules
from heddle.sw.compiler import nm, packing
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import biases_from, settings_of
from heddle.sw.errors import FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device

from ..sim.devices import DEVICES, TRAINING
from ..sim.test_schedules import written


@pytest.fixture(params=DEVICES)
def device(request):
    with Device(DEVICES[request.param](TRAINING), TRAINING.name) as device:
        yield device


def whole(rng, *shape: int) -> np.ndarray:
    return rng.integers(-9, 10, shape).astype(float)


def pruned(rng, *shape: int) -> np.ndarray:
    return nm.prune(whole(rng, *shape), 2, 8)


def test_a_row_that_a_product_makes(device):
    """The first product's only row, with a scale that leaves fractions, are the second one's
    biases, rounded to whole sums, in three column blocks of which the last is not full."""
    config, rng = device.config, np.random.default_rng(1)
    outputs, scale = 20, 2.0**-3
    builder = Builder(config)
    first, x = builder.tensor(1, 16), builder.tensor(13, 24)
    row, y = builder.tensor(1, outputs, 32), builder.tensor(13, outputs, 32)
    one, two = pruned(rng, 16, outputs), pruned(rng, 24, outputs)
    to_fp32 = OutputFormat.FP32
    packed = [packing.pack(w, config.format, 2, 8) for w in (one, two)]
    builder.product(
        first, packed[0], settings_of(config, outputs, scale=scale), False, to_fp32, row
    )
    builder.product(x, packed[1], biases_from(config, row), True, to_fp32, y)
    program = builder.program()
    programs.load(device, program)
    values = {first: whole(rng, 1, 16), x: whole(rng, 13, 24)}
    for tensor, held in values.items():
        device.write_memory(tensor.address, tensor.to_words(to_raw(held, config.format)))
    programs.run(device, program)
    got = y.from_words(device.read_memory(y.address, y.words)).view("<f4")
    biases = np.rint(values[first] @ one * scale)  # ties to even
    assert (got == np.maximum(values[x] @ two + biases, 0)).all()
    assert not device.flags()


def test_no_order_of_engines_reads_a_row_too_early():
    """In every order that the program's waits allow."""
    config, rng = TRAINING, np.random.default_rng(3)
    builder = Builder(config)
    x = builder.tensor(8, 8)
    row = builder.tensor(1, 8, 32)
    made = [builder.tensor(8, 8, 32) for _ in range(2)]
    weights = packing.pack(pruned(rng, 8, 8), config.format, 2, 8)
    one = builder.tensor(1, 8)
    for y in made:
        builder.product(x, weights, biases_from(config, row), False, OutputFormat.FP32, y)
        builder.product(one, weights, settings_of(config, 8), False, OutputFormat.FP32, row)
    program = builder.program()
    packets = written(config, program, np.random.default_rng(4)) + program.packets()
    assert schedules.races(config, packets, schedules.every_extreme()) == []


@pytest.mark.parametrize("value", [np.inf, np.nan, 2.0**31, -(2.0**31) - 256])
def test_what_is_no_bias_is_zero_and_told(value):
    config, rng = TRAINING, np.random.default_rng(5)
    with Device(DEVICES["model"](config), config.name) as device:
        builder = Builder(config)
        x, row, y = builder.tensor(8, 8), builder.tensor(1, 8, 32), builder.tensor(8, 8, 32)
        weights = packing.pack(pruned(rng, 8, 8), config.format, 2, 8)
        builder.product(x, weights, biases_from(config, row), False, OutputFormat.FP32, y)
        program = builder.program()
        programs.load(device, program)
        device.write_memory(x.address, x.to_words(np.zeros((8, 8), np.uint8)))
        biases = np.full((1, 8), 5, "<f4")
        biases[0, 3] = value
        device.write_memory(row.address, row.to_words(biases.view("<u4")))
        programs.run(device, program)
        got = y.from_words(device.read_memory(y.address, y.words)).view("<f4")
        assert device.flags() == {Flag.FAULT}
    assert got.tolist() == [[5, 5, 5, 0, 5, 5, 5, 5]] * 8


def test_rows_that_are_none():
    builder = Builder(TRAINING)
    with pytest.raises(FormatError, match="one row of FP32, not 2 x 8 of 32 bits"):
        biases_from(TRAINING, builder.tensor(2, 8, 32))
    with pytest.raises(FormatError, match="of 8 bits"):
        biases_from(TRAINING, builder.tensor(1, 8))
    without = changed(TRAINING, training=False)
    with pytest.raises(FormatError, match="build one with training"):
        biases_from(without, builder.tensor(1, 8, 32))
