"""Tensors in external memory and the copies of a program: words written out by hand, and products
from there to there against NumPy."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.formats import FP16, INT4, INT8, OutputFormat
from heddle.hw.isa.codes import Target
from heddle.hw.isa.commands import Run
from heddle.hw.isa.descriptors import Copy, Fill, Rows
from heddle.hw.isa.engines import Engine
from heddle.sim.golden.device import ModelTransport
from heddle.sim.golden.schedules import ScheduledModel, shuffled
from heddle.sw.compiler import packing
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.external import ExternalTensor
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.tensors import RawTensor, Tensor
from heddle.sw.compiler.vector_programs import relu
from heddle.sw.compiler.waits import Waits
from heddle.sw.errors import DeviceError, FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device
from heddle.sw.transports.simulated import External

from ..sim.test_copy import ONE, SLOW, TWO, simulated
from .test_program import left

DEVICES = {
    "model": ModelTransport,
    "shuffled": lambda config: ScheduledModel(config, shuffled(1)),
    "simulated": partial(simulated, external=SLOW),
}
LANES = replace(TWO, name="lanes", rows=4, columns=4, tensor_words=2048)
"""Of the golden model only."""


@pytest.fixture(params=DEVICES)
def device(request):
    with Device(DEVICES[request.param](ONE)) as device:
        yield device


def test_packed_words():
    """Three rows of five elements, as NumPy has them; odd rows of nibbles end with half a byte."""
    tensor = ExternalTensor(ONE, 7, Tensor(ONE, 0, 3, 5, 8), packed=True)
    raw = np.arange(15, dtype=np.uint8).reshape(3, 5)
    assert (tensor.words, tensor.row_bytes, tensor.byte) == (2, 5, 56)
    words = tensor.to_words(raw)
    assert words.tolist() == [list(range(8)), [*range(8, 15), 0]]
    assert (tensor.from_words(words) == raw).all()
    nibbles = replace(ONE, format=INT4, external_bits=0)
    tensor = ExternalTensor(nibbles, 0, Tensor(nibbles, 0, 2, 3, 4), packed=True)
    words = tensor.to_words(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    assert words.tolist() == [[0x21, 0x03, 0x54, 0x06]]
    assert tensor.from_words(words).tolist() == [[1, 2, 3], [4, 5, 6]]
    wide = ExternalTensor(TWO, 0, Tensor(TWO, 0, 1, 3, 32), packed=True)
    words = wide.to_words(np.array([[1, 2, 3]], "<u4"))
    assert words.reshape(-1)[:12].view("<u4").tolist() == [1, 2, 3]
    assert wide.from_words(words).tolist() == [[1, 2, 3]]
    for packed in (True, False):
        with pytest.raises(FormatError, match=r"3 x 5 elements cannot hold \[3, 4\]"):
            ExternalTensor(ONE, 7, Tensor(ONE, 0, 3, 5, 8), packed).to_words(raw[:, :4])


def test_pieces_of_a_copy():
    """Blocks of four rows on two lanes, 40 elements of 16 bits: five groups, so ten words; seven of
    them are 64 words at least."""
    there, here = Tensor(LANES, 0, 30, 40, 16), Tensor(LANES, 100, 30, 40, 16)
    packed = ExternalTensor(LANES, 3, there, packed=True)
    row = {"row_bytes": 80, "stride": 80, "pitch": 5}
    assert [piece.copy for piece in packed.pieces(here, False)] == [
        Copy(outward=0, external=96, rows=28, tensor=100, **row),
        Copy(outward=0, external=96 + 28 * 80, rows=2, tensor=100 + 14 * 5, **row),
    ]
    as_there = ExternalTensor(LANES, 3, there)
    pieces = list(as_there.pieces(here, True))
    assert [piece.copy for piece in pieces] == [
        Copy(outward=1, whole=1, external=96, row_bytes=70 * 32, tensor=100),
        Copy(outward=1, whole=1, external=96 + 70 * 32, row_bytes=5 * 32, tensor=170),
    ]
    assert [piece.words for piece in pieces] == [range(100, 170), range(170, 175)]
    assert [piece.words for piece in packed.pieces(here, False)] == [
        range(100, 170),
        range(170, 175),
    ]
    # The planes of exact sums, one after another: two words of a window, and room for one more.
    sums = ExternalTensor(LANES, 1, RawTensor(LANES, 0, 2, 8))
    assert [piece.copy for piece in sums.pieces(RawTensor(LANES, 50, 2, 8), False)] == [
        Copy(outward=0, whole=1, external=(1 + 4 * n) * 32, row_bytes=64, tensor=50 + 4 * n)
        for n in range(4)
    ]


def test_who_waits_for_copies():
    waits = Waits(ONE)
    rows, slots = (Target.ACTIVATIONS, range(4)), (Target.VALUES, range(8))
    assert left(waits.passes(Engine.COPY, [], [range(8)])) == {}
    assert left(waits.passes(Engine.COPY, [], [range(8, 16)])) == {}
    # What the first COPY brought, and what the second one did.
    assert left(waits.move(Engine.ROWS, [rows], [range(4, 8)])) == {"COPY": 1}
    assert left(waits.move(Engine.FILL, [slots], [range(6, 9)])) == {"COPY": 0}
    # A COPY of words that are still to be read; of two COPYs the order is kept anyway.
    assert left(waits.passes(Engine.COPY, [], [range(5)])) == {"ROWS": 0}
    assert left(waits.run([rows, slots], [range(20, 22)])) == {"ROWS": 0, "FILL": 0}
    assert left(waits.passes(Engine.COPY, [range(21, 22)], [])) == {"STORE": 0}
    # Neither a RUN nor the vector unit writes before the words have been copied.
    assert left(waits.run([slots], [range(21, 23)])) == {"FILL": 0, "COPY": 0}
    assert left(waits.passes(Engine.VECTOR, [range(20, 21)], [range(7, 9)])) == {
        "STORE": 1,
        "ROWS": 0,
        "FILL": 0,
        "COPY": 2,
    }
    assert left(waits.passes(Engine.COPY, [range(8, 9)], [])) == {"VECTOR": 0}


def layer(builder: Builder, x: Tensor, w: np.ndarray, y: Tensor, addend: Tensor | None = None):
    format = builder.config.format
    output = OutputFormat.INT8 if format is INT8 else OutputFormat.FP16
    settings = settings_of(builder.config, w.shape[1])
    builder.product(x, packing.pack(w, format), settings, False, output, y, addend)


def put(device: Device, tensor: ExternalTensor, values: np.ndarray) -> None:
    raw = to_raw(values, device.config.format)
    device.write_memory(tensor.address, tensor.to_words(raw), external=True)


def got(device: Device, tensor: ExternalTensor) -> np.ndarray:
    words = device.read_memory(tensor.address, tensor.words, external=True)
    raw = tensor.from_words(words)
    return raw.view("i1" if raw.dtype == np.uint8 else "<f2")


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "words"])
@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_a_product_from_there_to_there(device, streamed, packed):
    """Twice, with other inputs; a side operand comes from there too, and the result overwrites it:
    in tensor memory, but not where it came from."""
    config, rng = device.config, np.random.default_rng(5)
    w, v = rng.integers(-1, 2, (20, 9)), rng.integers(-1, 2, (9, 5))
    builder = Builder(config, streamed)
    given = builder.external(11, 20, packed=packed)
    added, result = (builder.external(11, 5, packed=packed) for _ in range(2))
    x, middle, y = builder.tensor(11, 20), builder.tensor(11, 9), builder.tensor(11, 5)
    builder.copy(given, x)
    builder.copy(added, y)
    layer(builder, x, w.astype(float), middle)
    layer(builder, middle, v.astype(float), y, addend=y)
    builder.copy(y, result)
    program = builder.program()
    assert bool(program.image) != streamed and bool(program.external) == streamed
    programs.load(device, program)
    for _ in range(2):
        values, more = rng.integers(-2, 3, (11, 20)), rng.integers(-9, 10, (11, 5))
        put(device, given, values)
        put(device, added, more)
        assert programs.run(device, program)["errors"] == 0
        expected = (np.clip(values @ w, -128, 127) @ v + more).clip(-128, 127)
        assert (got(device, result) == expected).all()
        assert (got(device, added) == more).all()


def test_words_that_are_used_again(device):
    """More rows than there is room for: each part comes while the one before it is multiplied."""
    config, rng = device.config, np.random.default_rng(6)
    w = rng.integers(-2, 3, (30, 6))
    builder = Builder(config)
    parts, rows = 7, 14
    x = [builder.tensor(rows, 30) for _ in range(2)]
    y = [builder.tensor(rows, 6) for _ in range(2)]
    given = [builder.external(rows, 30) for _ in range(parts)]
    results = [builder.external(rows, 6) for _ in range(parts)]
    builder.copy(given[0], x[0])
    for part in range(parts):
        if part + 1 < parts:
            builder.copy(given[part + 1], x[(part + 1) % 2])
        layer(builder, x[part % 2], w.astype(float), y[part % 2])
        builder.copy(y[part % 2], results[part])
    program = builder.program()
    programs.load(device, program)
    values = rng.integers(-2, 3, (parts, rows, 30))
    for tensor, part in zip(given, values, strict=True):
        put(device, tensor, part)
    programs.run(device, program)
    for tensor, part in zip(results, values, strict=True):
        assert (got(device, tensor) == (part @ w).clip(-128, 127)).all()
    # Of part 2 something is copied before the array has seen all of part 1.
    kinds = [type(command) for command in program.commands]
    copies = [n for n, c in enumerate(program.commands) if isinstance(c, Copy) and not c.outward]
    assert copies[2] < len(kinds) - 1 - kinds[::-1].index(Run)


def test_exact_sums_that_go_out_and_come_back():
    """A sum of three products: between them it lies in external memory."""
    rng = np.random.default_rng(7)
    w = [rng.integers(-9, 10, (16, 5)) for _ in range(3)]
    values = rng.integers(-9, 10, (3, 6, 16))
    builder = Builder(LANES)
    x = [builder.tensor(6, 16) for _ in range(3)]
    sums, y = builder.raw(6, 5), builder.tensor(6, 5, 32)
    outside = builder.external_raw(6, 5)
    settings = settings_of(LANES, 5)
    for n, output in enumerate((OutputFormat.RAW, OutputFormat.RAW, OutputFormat.FP32)):
        weights = packing.pack(w[n].astype(float), FP16)
        to = y if n == 2 else sums
        builder.product(x[n], weights, settings, False, output, to, sums if n else None)
        if n < 2:
            builder.copy(sums, outside)
            builder.free(sums)
            other = builder.raw(6, 5)
            builder.copy(outside, sums := other)
    program = builder.program()
    for order in range(3):
        with Device(ScheduledModel(LANES, shuffled(order))) as device:
            programs.load(device, program)
            for tensor, part in zip(x, values, strict=True):
                device.write_memory(tensor.address, tensor.to_words(to_raw(part, FP16)))
            programs.run(device, program)
            words = device.read_memory(y.address, y.words)
        expected = sum(part @ each for part, each in zip(values, w, strict=True))
        assert (y.from_words(words).view("<f4") == expected).all()


def test_the_vector_unit_between_copies():
    config = replace(preset("tiny"), vector_lanes=2, external_bits=14)
    rng = np.random.default_rng(8)
    builder = Builder(config, streamed=True)
    given, result = builder.external(9, 12, packed=True), builder.external(9, 12, packed=True)
    x = builder.tensor(9, 12)
    builder.copy(given, x)
    builder.vector(relu(x, x))
    builder.copy(x, result)
    program = builder.program()
    values = rng.integers(-99, 100, (9, 12))
    for order in range(5):
        with Device(ScheduledModel(config, shuffled(order))) as device:
            programs.load(device, program)
            put(device, given, values)
            programs.run(device, program)
            assert (got(device, result) == np.maximum(values, 0)).all()


def test_what_is_overwritten_has_been_read():
    """By the vector unit, of rows that a product has still to take when another program of the unit
    has read them already."""
    config = replace(preset("tiny"), vector_lanes=2)
    rng = np.random.default_rng(10)
    builder = Builder(config)
    x, y, z = builder.tensor(40, 8), builder.tensor(40, 8), builder.tensor(40, 8)
    layer(builder, x, 2 * np.eye(8), y)
    builder.vector(relu(x, z))
    builder.vector(relu(z, x))
    program = builder.program()
    values = rng.integers(-50, 50, (40, 8))
    with Device(ModelTransport(config)) as device:
        programs.load(device, program)
        device.write_memory(x.address, x.to_words(to_raw(values, INT8)))
        programs.run(device, program)
        words = device.read_memory(y.address, y.words)
        assert (y.from_words(words).view("i1") == 2 * values).all()


def test_weights_that_do_not_fit():
    """Two layers' weights take turns in the words that tensors leave free, within a run too."""
    config = replace(ONE, tensor_words=128)
    rng = np.random.default_rng(9)
    w = [rng.integers(-1, 2, (24, 24)) * (rng.random((24, 24)) < 0.2) for _ in range(3)]
    for streamed in (False, True):
        builder = Builder(config, streamed)
        tensors = [builder.tensor(4, 24) for _ in range(4)]
        for n, each in enumerate(w):
            layer(builder, tensors[n], each.astype(float), tensors[n + 1])
        if not streamed:
            with pytest.raises(FormatError, match="the weights do not fit"):
                builder.program()
            continue
        program = builder.program()
        assert sum(len(content) for _, content in program.external) // 8 > 128 - 4 * 12
        values = rng.integers(-1, 2, (4, 24))
        with Device(ScheduledModel(config, shuffled(3))) as device:
            programs.load(device, program)
            device.write_memory(0, tensors[0].to_words(to_raw(values, INT8)))
            for _ in range(2):
                programs.run(device, program)
                words = device.read_memory(tensors[3].address, tensors[3].words)
                expected = values
                for each in w:
                    expected = expected @ each
                assert abs(expected).max() < 128
                assert (tensors[3].from_words(words).view("i1") == expected).all()
    builder = Builder(replace(ONE, tensor_words=64), streamed=True)
    x, y, _ = builder.tensor(4, 24), builder.tensor(4, 48), builder.tensor(4, 40)
    layer(builder, x, np.ones((24, 48)), y)
    with pytest.raises(FormatError, match="the tensors leave 8 words .* 'copies' for weights"):
        builder.program()


def test_what_cannot_be_copied():
    builder = Builder(ONE)
    x, there = builder.tensor(4, 24), builder.external(4, 24)
    with pytest.raises(FormatError, match="from one memory to the other, not within one"):
        builder.copy(x, builder.tensor(4, 24))
    with pytest.raises(FormatError, match="from one memory to the other, not within one"):
        builder.copy(there, builder.external(4, 24))
    with pytest.raises(FormatError, match=r"\[4, 24\] of 8 bits in .* no \[4, 23\] of 8 bits"):
        builder.copy(there, builder.tensor(4, 23))
    with pytest.raises(
        FormatError, match=r"\[4, 6\] of 32 bits in external memory is no \[4, 24\]"
    ):
        builder.copy(x, builder.external(4, 6, 32))
    with pytest.raises(FormatError, match=r"\[4, 6\] of 32 bits .* no \[4, 6\] of 32 bits"):
        builder.copy(builder.raw(4, 6), builder.external(4, 6, 32))
    with pytest.raises(
        FormatError, match="external memory of 'copies' has 2,048 words, .* 192 more"
    ):
        builder.external(2192, 8)
    without = replace(ONE, external_bits=0)
    for make in (lambda: Builder(without).external(1, 1), lambda: Builder(without, streamed=True)):
        with pytest.raises(FormatError, match="'copies' has no external memory: build one with"):
            make()


def test_external_memory_that_fails():
    """The program's result does not count, and the next one's does."""
    transport = simulated(ONE)
    with Device(transport) as device:
        builder = Builder(ONE)
        given, result = builder.external(8, 8), builder.external(8, 8)
        x = builder.tensor(8, 8)
        builder.copy(given, x)
        builder.copy(x, result)
        program = builder.program()
        values = np.arange(64).reshape(8, 8)
        programs.load(device, program)
        put(device, given, values)
        transport.behave(External(broken=range(16, 24)))
        with pytest.raises(DeviceError, match="external memory answered with an error"):
            programs.run(device, program)
        transport.behave(External())
        programs.run(device, program)
        assert (got(device, result) == values).all()
        transport.behave(External(broken=range(4)))
        streamed = Builder(ONE, streamed=True)
        x, y = streamed.tensor(2, 8), streamed.tensor(2, 2)
        layer(streamed, x, np.ones((8, 2)), y)
        with pytest.raises(DeviceError, match="external memory answered with an error"):
            programs.load(device, streamed.program())


def test_loads_stand_behind_their_copies():
    """In the commands, a COPY of what a FILL or ROWS takes comes before it."""
    builder = Builder(ONE, streamed=True)
    given, x, y = builder.external(20, 40), builder.tensor(20, 40), builder.tensor(20, 6)
    builder.copy(given, x)
    layer(builder, x, np.ones((40, 6)), y)
    there = set()
    for command in builder.program().commands:
        if isinstance(command, Copy):
            there |= set(range(command.tensor, command.tensor + command.row_bytes // 8))
        if isinstance(command, Fill | Rows):
            assert set(range(command.source, command.source + command.words)) <= there
