"""Programs of products in tensor memory: what they compute against NumPy, how tensors lie there
against words written out by hand, and who waits for whom."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.formats import INT4, INT8, ROUNDED, OutputFormat
from heddle.hw.isa.codes import Target
from heddle.hw.isa.commands import Run
from heddle.hw.isa.descriptors import Fill, Rows, Vector
from heddle.hw.isa.engines import Engine
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler import nm, packing, vector_programs
from heddle.sw.compiler.allocator import Allocator
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.tensors import Tensor
from heddle.sw.compiler.waits import Waits
from heddle.sw.errors import DeviceError, FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device

from ..sim.devices import LANES, PAGED


def weights_of(config, rng, shape: tuple[int, int], n: int):
    w = rng.choice([-1.0, 1.0], shape)
    return nm.prune(w, n, 8), packing.pack(nm.prune(w, n, 8), config.format, n, 8)


@pytest.mark.parametrize("n", [8, 2])
@pytest.mark.parametrize("sizes", [(1, 8, 4, 4), (9, 40, 24, 10), (30, 72, 17, 33)], ids=str)
def test_three_layers(device, sizes, n):
    """Row after row of products, the last one wider; only small whole numbers, so it is exact."""
    config, rng = device.config, np.random.default_rng(sizes)
    rows, *widths = sizes
    output = OutputFormat.INT8 if config.format is INT8 else OutputFormat.FP16
    builder = Builder(config)
    first = tensor = builder.tensor(rows, widths[0])
    value = x = rng.integers(-3, 4, (rows, widths[0])).astype(float)
    for inner, outputs in zip(widths, widths[1:], strict=False):
        dense, weights = weights_of(config, rng, (inner, outputs), n)
        bias = rng.integers(-9, 10, outputs).astype(float)
        scale = 2.0 ** rng.integers(-4, -2, outputs)
        result = builder.tensor(rows, outputs, 8 * output.bytes)
        settings = settings_of(config, outputs, bias, scale)
        builder.product(tensor, weights, settings, True, output, result)
        exact = np.maximum(value @ dense + bias, 0) * scale
        value = np.rint(exact).clip(-128, 127) if config.format is INT8 else np.float16(exact)
        value, tensor = value.astype(float), result
    program = builder.program()
    programs.load(device, program)
    device.write_memory(first.address, first.to_words(to_raw(x, config.format, "x")))
    counters = programs.run(device, program)
    got = tensor.from_words(device.read_memory(tensor.address, tensor.words))
    assert (got.view("i1" if config.format is INT8 else "<f2") == value).all()
    assert not device.flags() and counters["errors"] == 0
    # Again, as for the next batch: the first run has left everything in its place.
    device.write_memory(first.address, first.to_words(to_raw(x, config.format, "x")))
    programs.run(device, program)
    assert (tensor.from_words(device.read_memory(tensor.address, tensor.words)) == got).all()


def test_weights_without_any_in_the_last_groups():
    """Half of the activations are loaded, and read by no RUN."""
    config, rng = preset("small"), np.random.default_rng(6)
    w = np.where(rng.random((256, 20)) < 0.3, rng.choice([-1.0, 1.0], (256, 20)), 0)
    w[100:] = 0
    w[:, 16:] = 0  # and a column block without any
    x = rng.integers(-3, 4, (20, 256)).astype(float)
    builder = Builder(config)
    left, right = builder.tensor(20, 256), builder.tensor(20, 20)
    weights = packing.pack(w, config.format)
    builder.product(left, weights, settings_of(config, 20), False, OutputFormat.FP16, right)
    with Device(ModelTransport(config)) as device:
        programs.load(device, builder.program())
        device.write_memory(left.address, left.to_words(to_raw(x, config.format, "x")))
        programs.run(device, builder.program())
        got = right.from_words(device.read_memory(right.address, right.words))
        assert (got.view("<f2") == x @ w).all() and not device.flags()


@pytest.mark.parametrize("output", ROUNDED)
def test_every_output(device, output):
    config, rng = device.config, np.random.default_rng(int(output))
    dense, weights = weights_of(config, rng, (16, 11), 4)
    x = rng.integers(-3, 4, (6, 16)).astype(float)
    builder = Builder(config)
    left, right = builder.tensor(6, 16), builder.tensor(6, 11, 8 * output.bytes)
    builder.product(left, weights, settings_of(config, 11), False, output, right)
    program = builder.program()
    programs.load(device, program)
    device.write_memory(left.address, left.to_words(to_raw(x, config.format, "x")))
    programs.run(device, program)
    got = right.from_words(device.read_memory(right.address, right.words))
    kind = {OutputFormat.FP32: "<f4", OutputFormat.FP16: "<f2", OutputFormat.INT8: "i1"}[output]
    assert (got.view(kind) == x @ dense).all()


def test_words_of_a_tensor():
    """Three rows of ten elements on two lanes: row 2 shares no word with row 3, which is not."""
    tensor = Tensor(replace(LANES, format=INT8), 0, 3, 10, 8)
    assert (tensor.groups, tensor.windows, tensor.words, tensor.space) == (2, 2, 4, 4)
    raw = np.arange(30, dtype=np.uint8).reshape(3, 10)
    zeros = [0] * 6
    words = [
        [*range(8), *range(10, 18)],
        [8, 9, *zeros, 18, 19, *zeros],
        [*range(20, 28), *[0] * 8],
        [28, 29, *zeros, *[0] * 8],
    ]
    assert tensor.to_words(raw).tolist() == words
    assert (tensor.from_words(np.array(words, np.uint8)) == raw).all()
    wide = Tensor(LANES, 0, 1, 3, 32)
    assert wide.groups == 1 and wide.space == 2
    assert wide.to_words(np.array([[1, 2, 3]], "<u4"))[0, :12].view("<u4").tolist() == [1, 2, 3]
    nibbles = Tensor(replace(LANES, format=INT4), 0, 1, 9, 4)
    packed = nibbles.to_words(np.arange(1, 10, dtype=np.uint8)[None])
    assert packed[:, :4].tolist() == [[0x21, 0x43, 0x65, 0x87], [9, 0, 0, 0]]
    assert nibbles.from_words(packed).tolist() == [list(range(1, 10))]
    with pytest.raises(FormatError, match=r"3 x 10 elements cannot hold \[3, 9\]"):
        tensor.to_words(raw[:, :9])


def left(waits: int) -> dict[str, int]:
    """What a field `waits` says, bit by bit: five for each engine, one more than may be left."""
    fields = {engine.name: waits >> 5 * engine & 31 for engine in Engine}
    return {name: field - 1 for name, field in fields.items() if field}


ROWS, VALUES, INDICES = Target.ACTIVATIONS, Target.VALUES, Target.INDICES


def test_who_waits_for_whom():
    waits = Waits(PAGED)
    first, second = (ROWS, range(4)), (ROWS, range(16, 20))
    slots = VALUES, range(8)
    # Nothing has been touched.
    assert left(waits.move(Engine.ROWS, [first], [range(4)])) == {}
    assert left(waits.move(Engine.FILL, [slots, (INDICES, range(8))], [range(100, 104)])) == {}
    # The RUN waits for both; what it stores to was read by none.
    assert left(waits.run([first, slots], [range(50, 54)])) == {"ROWS": 0, "FILL": 0}
    # Words are filled again when that RUN has read them; others at once.
    assert left(waits.move(Engine.ROWS, [second], [range(4, 8)])) == {}
    assert left(waits.move(Engine.ROWS, [first], [range(4, 8)])) == {"ARRAY": 0}
    # A RUN on what was loaded before waits for all ROWS but the last.
    assert left(waits.run([second, slots], [range(54, 58)])) == {"ROWS": 1, "FILL": 0}
    # What the first RUN stored, but not what the second one did.
    assert left(waits.move(Engine.ROWS, [first], [range(50, 54)])) == {"STORE": 1, "ARRAY": 1}
    assert left(waits.move(Engine.ROWS, [second], [range(52, 56)])) == {"STORE": 0, "ARRAY": 0}
    # Storing where words are still to be read: by the last ROWS but one, and by a FILL.
    assert left(waits.run([first, slots], [range(50, 52)])) == {"ROWS": 1, "FILL": 0}
    assert left(waits.run([], [range(103, 104)])) == {"FILL": 0}
    # Indices are read where values are, and filled for them.
    assert left(waits.move(Engine.FILL, [(INDICES, range(7, 9))], [])) == {"ARRAY": 1}
    assert left(waits.move(Engine.FILL, [(VALUES, range(9, 12))], [])) == {}
    assert left(waits.run([(VALUES, range(8, 9))])) == {"FILL": 1}
    for number in range(40):
        assert left(waits.run([])) == {}, number
    # There is room for no larger number than 30: a smaller one waits longer.
    assert left(waits.move(Engine.ROWS, [first], []))["ARRAY"] == 30


def test_every_word_is_stored_once(config):
    """Destinations of a program's RUNs lie side by side, and within the tensor."""
    rng = np.random.default_rng(5)
    _, weights = weights_of(config, rng, (24, 21), 8)
    builder = Builder(config)
    left_, right = builder.tensor(18, 24), builder.tensor(18, 21, config.format.bits)
    output = OutputFormat.INT8 if config.format is INT8 else OutputFormat.FP16
    builder.product(left_, weights, settings_of(config, 21), False, output, right)
    written = np.zeros(right.words * config.stream_bytes, int)
    for run in (c for c in builder.program().commands if isinstance(c, Run) and c.finish):
        for row in range(run.row_blocks * config.rows):
            window, lane = divmod(row, config.lanes)
            if window * run.pitch + run.groups > run.words:
                continue
            for byte in range(run.offset, run.offset + config.columns * output.bytes):
                group, at = divmod(byte, config.group_bytes)
                if group < run.groups:
                    word = run.destination - right.address + window * run.pitch + group
                    written[word * config.stream_bytes + lane * config.group_bytes + at] += 1
    assert written.max() == 1
    # All but what pads the rows: 21 elements of 24.
    assert written.sum() == right.windows * config.lanes * 24 * output.bytes


def test_what_cannot_be_built():
    with pytest.raises(FormatError, match="'tiny' has no tensor memory for a program"):
        Builder(preset("tiny", tensor_words=0))
    builder = Builder(PAGED)
    x = builder.tensor(100, 64)
    rng = np.random.default_rng(1)
    _, weights = weights_of(PAGED, rng, (64, 64), 8)
    settings = settings_of(PAGED, 64)
    with pytest.raises(FormatError, match=r"\[100, 64\] times \[64, 64\] is no \[100, 63\]"):
        y = builder.tensor(100, 63)
        builder.product(x, weights, settings, False, OutputFormat.INT8, y)
    with pytest.raises(FormatError, match="results in FP16 be stored in 8 bits"):
        builder.product(x, weights, settings, False, OutputFormat.FP16, x)
    with pytest.raises(FormatError, match="results would lie where rows still to be multiplied do"):
        builder.product(x, weights, settings, False, OutputFormat.INT8, x)
    with pytest.raises(FormatError, match="1,000 x 64 elements does not fit: it takes 8,000 words"):
        Builder(PAGED).tensor(1000, 64)
    with pytest.raises(FormatError, match="the weights do not fit: it takes"):
        small = Builder(replace(PAGED, tensor_words=1024))
        x, y = small.tensor(60, 64), small.tensor(60, 64)
        small.product(x, weights, settings, False, OutputFormat.INT8, y)
        small.program()


def test_a_refused_command(device):
    """Everything before it has been done, nothing after it, and the device goes on."""
    config = device.config
    builder = Builder(config)
    x, y = builder.tensor(4, 8), builder.tensor(4, 4, config.format.bits)
    output = OutputFormat.INT8 if config.format is INT8 else OutputFormat.FP16
    _, weights = weights_of(config, np.random.default_rng(2), (8, 4), 8)
    builder.product(x, weights, settings_of(config, 4), False, output, y)
    program = builder.program()
    good = list(program.commands)
    at = next(n for n, c in enumerate(good) if isinstance(c, Run))
    program.commands[at] = replace(good[at], destination=config.tensor_words - 1, words=9)
    programs.load(device, program)
    with pytest.raises(DeviceError, match="refused RUN: error 4, BAD_ADDRESS"):
        programs.run(device, program)
    device.reset()
    program.commands[:] = good
    assert any(isinstance(c, Fill) for c in good) and any(isinstance(c, Rows) for c in good)
    assert programs.run(device, program)["errors"] == 0


def test_words_that_are_given_back():
    """The next tensor takes them, if they are enough; weights never lie where a tensor once did."""
    config = replace(LANES, tensor_words=128)
    builder = Builder(config)
    first, second, third = (builder.tensor(8, 64) for _ in range(3))  # 4 windows of 8 groups each
    assert [t.address for t in (first, second, third)] == [0, 32, 64]
    builder.free(second)
    small = builder.tensor(4, 64)
    assert small.address == 32 and builder.tensor(8, 64).address == 96
    builder.free(first, small)
    assert builder.tensor(16, 64).address == 0  # all that lies before the third one
    builder = Builder(config)
    left, right = builder.tensor(8, 64), builder.tensor(8, 64)
    builder.free(right)
    assert builder.tensor(12, 64).address == 32
    builder = Builder(config)
    left, large = builder.tensor(8, 8), builder.tensor(24, 64)
    builder.free(large)
    right = builder.tensor(8, 8)
    weights = packing.pack(np.ones((8, 8)), config.format)
    builder.product(left, weights, settings_of(config, 8), False, OutputFormat.FP16, right)
    lowest = min(address for address, _ in builder.program().image)
    assert lowest >= large.address + large.space
    builder = Builder(config)
    builder.free(builder.tensor(28, 64))
    left, right = builder.tensor(8, 8), builder.tensor(8, 40)
    weights = packing.pack(np.ones((8, 40)), config.format)
    with pytest.raises(FormatError, match="the weights do not fit"):
        builder.product(left, weights, settings_of(config, 40), False, OutputFormat.FP16, right)
        builder.program()


def test_where_words_are():
    """By hand: the lower half first, the upper one for what is read beside it, constants from the
    top down wherever nothing ever lay."""
    allocator = Allocator("here", 64)
    assert allocator.tensor(20, "a") == 0
    assert allocator.tensor(8, "b", apart=range(20)) == 32
    assert allocator.tensor(8, "c", apart=range(32, 40)) == 20
    assert allocator.tensor(8, "d") == 40  # below are four
    allocator.free(range(20))
    assert allocator.tensor(17, "e", apart=range(40, 48)) == 0
    assert allocator.constant(16, "g") == 48
    assert allocator.constant(4, "h") == 28
    allocator.free(range(40, 48))
    with pytest.raises(FormatError, match="i: it takes 1 words of .* which has 64, and 0 in one"):
        allocator.constant(1, "i")


@pytest.mark.parametrize("seed", range(6))
def test_work_in_any_order(seed):
    """Products, side operands and the vector unit on words that are given back and taken again:
    each finds what came before it in the program, wherever its command is sent."""
    config, rng = replace(LANES, tensor_words=512, vector_lanes=2), np.random.default_rng(seed)
    builder, given, values = Builder(config), [], {}

    def new(rows: int, columns: int) -> Tensor:
        return builder.tensor(rows, columns, apart=rng.choice([None, *values]))

    for rows, columns in ((12, 16), (12, 8)):
        tensor = new(rows, columns)
        values[tensor] = rng.integers(-3, 4, (rows, columns)).astype("<f2")
        given.append((tensor, values[tensor]))
    for _ in range(25):
        left = list(values)[rng.integers(len(values))]
        alike = [each for each in values if each.columns == left.columns]
        other = alike[rng.integers(len(alike))]
        x, z = (values[each].astype(float) for each in (left, other))
        match rng.integers(4):
            case 0:
                y = new(12, left.columns)
                builder.vector(vector_programs.relu(left, y))
                values[y] = np.maximum(x, 0).astype("<f2")
            case 1:
                y = new(12, left.columns)
                builder.vector(vector_programs.residual(left, other, y, (0.5, 0.25), False))
                values[y] = (x * 0.5 + z * 0.25).astype("<f2")
            case _:
                columns = int(rng.choice([8, 16]))
                addend = next((each for each in values if each.columns == columns), None)
                dense, weights = weights_of(config, rng, (left.columns, columns), 2)
                y = new(12, columns)
                settings = settings_of(config, columns, scale=0.25)
                output = OutputFormat.FP16
                builder.product(left, weights, settings, False, output, y, addend)
                more = 0 if addend is None else values[addend].astype(float)
                values[y] = ((x @ dense + more) * 0.25).astype("<f2")
        if len(values) > 4:
            gone = list(values)[rng.integers(len(values) - 1)]  # not what was made just now
            if all(gone != tensor for tensor, _ in given):
                builder.free(gone)
                del values[gone]
    program = builder.program()
    with Device(ModelTransport(config)) as device:
        programs.load(device, program)
        for tensor, x in given:
            device.write_memory(tensor.address, tensor.to_words(x.view("<u2")))
        programs.run(device, program)
        for tensor, expected in values.items():
            got = tensor.from_words(device.read_memory(tensor.address, tensor.words))
            assert (got.view("<f2") == expected).all()
        assert not device.flags()
    kinds = [type(command) for command in program.commands]
    assert kinds.index(Vector) < len(kinds) - kinds[::-1].index(Run)


def test_rows_of_a_tensor():
    tensor = Tensor(LANES, 100, 12, 24, 16)
    part = tensor.part(4, 6)
    assert (part.address, part.rows, part.columns) == (100 + 2 * 3, 6, 24)
    for first, rows in ((3, 2), (10, 4), (-2, 2)):
        with pytest.raises(FormatError, match="must be in lane 0 of 2"):
            tensor.part(first, rows)
