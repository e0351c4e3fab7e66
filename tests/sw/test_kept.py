"""Gradients of kept weights alone, on the model and on Verilog with and without stalls, against
those of whole matrices."""

from dataclasses import replace

import numpy as np
import pytest

from heddle.hw.config import Config, preset
from heddle.hw.formats import FP16, OutputFormat
from heddle.hw.isa.codes import Target
from heddle.hw.isa.commands import Load, Run, Side, Write
from heddle.hw.isa.host_stream import indices_payload, packet_of
from heddle.hw.isa.registers import ADDRESS, CONTROL_RESET
from heddle.sim.golden import schedules
from heddle.sw.compiler.backward import TrainingBuilder
from heddle.sw.compiler.kept import Compact
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.tensors import Tensor
from heddle.sw.compiler.walks import Images
from heddle.sw.errors import FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device

from ..sim.devices import LEARNER
from .test_gradients import CASES, held, taps
from .test_steps import DEVICES
from .test_transposed import side_by_side

WIDE = Config(
    *("kept", 16, 16, FP16),
    lanes=4,
    activation_groups=64,
    weight_slots=256,
    schedule_records=64,
    tensor_words=2048,
    vector_lanes=1,
    training=True,
)
"""Four lanes, and pages that hold the rows of several column blocks."""
RUNS = [
    pytest.param(
        (config, name),
        id=f"{config.name}-{name}",
        marks=[pytest.mark.slow] * (config is WIDE and name != "model"),
    )
    for config in (LEARNER, WIDE)
    for name in DEVICES
]


@pytest.fixture(params=RUNS)
def device(request):
    config, name = request.param
    with Device(DEVICES[name](config), config.name) as device:
        yield device


def largest(masters: np.ndarray, n: int) -> np.ndarray:
    """Places of the n largest of every 8 weights along K, in order: [groups, n, C]."""
    groups = np.abs(masters).reshape(-1, 8, masters.shape[1])
    order = np.argsort(-groups, axis=1, kind="stable")
    return np.sort(order[:, :n], axis=1)


def ran(device, builder, filled, dw):
    """What a program makes of what tensors are `filled` with."""
    program = builder.program()
    programs.load(device, program)
    for tensor, values in filled.items():
        programs.put(device, tensor, values.astype("<f4" if tensor.bits == 32 else "<f2"))
    counters = programs.run(device, program)
    assert counters["errors"] == 0 and not device.flags()
    return programs.taken(device, dw).view("<f4"), counters


@pytest.mark.parametrize(
    "sizes",
    [(16, 8, 8, 2), (5, 24, 16, 1), (64, 64, 24, 2), (61, 72, 40, 4), (200, 40, 16, 2)],
    ids=str,
)
def test_a_matrix(device, sizes):
    """Rows that fit a page, fewer than the array has, and chunks whose sums go out as RAW."""
    config, rng = device.config, np.random.default_rng(sizes)
    rows, inner, outputs, n = sizes
    x, dy = held(config, rng, rows, inner), held(config, rng, rows, outputs)
    masters = rng.integers(-99, 100, (inner, outputs))
    compact = Compact(config, inner // 8, n)
    builder = TrainingBuilder(config)
    left = builder.tensor(rows, inner)
    right = builder.tensor(rows, outputs, apart=left)
    weights = builder.tensor(inner, outputs, 32)
    pruning = builder.pruned(weights, n)
    builder.prune(pruning.whole)
    dw = builder.tensor(compact.rows, outputs, 32)
    builder.kept_gradient(left, right, dw, pruning.forward)
    got, _ = ran(device, builder, {left: x, right: dy, weights: masters}, dw)
    places = largest(masters, n)
    exact = (x.T @ dy).astype("<f4")
    mask = np.zeros((inner // 8, 8, outputs), bool)
    np.put_along_axis(mask, places, True, axis=1)
    assert (compact.dense(got, places) == exact * mask.reshape(exact.shape)).all()
    assert (got == compact.of(exact, places)).all()


@pytest.mark.parametrize("case", CASES)
def test_a_convolution(device, case):
    """Of as many images abreast as there are lanes, if they can; with an exact addend, in which a
    batch before was summed."""
    config, (shape, outputs, kernel) = device.config, CASES[case]
    rng, outputs = np.random.default_rng(len(case)), -(-outputs // 8) * 8
    abreast = config.lanes if shape[0] % config.lanes == 0 else 1
    channels = -(-shape[3] // 8) * 8
    inner = kernel.size[0] * kernel.size[1] * channels
    builder = TrainingBuilder(config)
    left = Images(builder.tensor(int(np.prod(shape[:3])), shape[3]), *shape[1:3], abreast)
    height, width = kernel.out(left)
    x, dy = held(config, rng, *shape), held(config, rng, shape[0], height, width, outputs)
    masters = rng.integers(-99, 100, (inner, outputs))
    tensor = builder.tensor(shape[0] * height * width, outputs, apart=left.tensor)
    right = Images(tensor, height, width, abreast)
    weights = builder.tensor(inner, outputs, 32)
    pruning = builder.pruned(weights, 2)
    builder.prune(pruning.whole)
    compact = Compact(config, inner // 8, 2)
    sums = builder.raw(compact.rows, outputs)
    dw = builder.tensor(compact.rows, outputs, 32)
    forward = pruning.forward
    builder.kept_gradient(left, right, sums, forward, kernel, OutputFormat.RAW)
    twice = settings_of(config, outputs, scale=0.5)
    builder.kept_gradient(left, right, dw, forward, kernel, addend=sums, settings=twice)
    flat = {left.tensor: side_by_side(x, abreast), tensor: side_by_side(dy, abreast)}
    got, _ = ran(device, builder, flat | {weights: masters}, dw)
    exact = np.zeros((*kernel.size, channels, outputs))
    exact[:, :, : shape[3]] = taps(x, dy, kernel)
    wanted = exact.reshape(inner, outputs).astype("<f4")
    assert (got == compact.of(wanted, largest(masters, 2))).all()


def test_no_wait_is_missing():
    """Every order of work that the program allows leaves the same memory."""
    config, rng = LEARNER, np.random.default_rng(7)
    builder = TrainingBuilder(config)
    left = builder.tensor(90, 80)
    right = builder.tensor(90, 16, apart=left)
    weights = builder.tensor(80, 16, 32)
    pruning = builder.pruned(weights, 2)
    builder.prune(pruning.whole)
    dw = builder.tensor(Compact(config, 10, 2).rows, 16, 32)
    builder.kept_gradient(left, right, dw, pruning.forward)
    program = builder.program()
    fills = []
    for tensor in (left, right, weights):
        kind = "<f4" if tensor.bits == 32 else "<f2"
        values = rng.integers(-99, 100, (tensor.rows, tensor.columns)).astype(kind)
        words = tensor.to_words(values.view(f"<u{tensor.bits // 8}"))
        command = Write(tensor.address, len(words))
        fills.append(packet_of(config, command, words.tobytes()))
    for at, content in program.image:
        command = Write(at, len(content) // config.stream_bytes)
        fills.append(packet_of(config, command, content))
    orders = [*schedules.every_extreme(), ("by chance", schedules.shuffled(1))]
    assert not schedules.races(config, fills + program.packets(), orders)


def test_fewer_slots_than_rows():
    """A RUN of fewer slots than there are rows lets those that get nothing hold what they held:
    on the model and in Verilog alike, also after a reset."""
    config = LEARNER
    results = []
    for name in ("model", "simulated"):
        rng = np.random.default_rng(2)
        device, made = DEVICES[name](config), []
        for reset in (False, True):
            if reset:
                device.write_register(ADDRESS["control"], CONTROL_RESET)
            made.append(_with_places(config, device, rng, (5, 8, 3)))
        device.close()
        results.append(made)
    assert results[0] == results[1]
    assert len(set(results[0])) == 2


def _with_places(config, device, rng, counts) -> bytes:
    """What RUNs of one tile each leave in memory: each but the last takes places in so many
    slots."""
    x = rng.integers(-9, 10, (64, config.rows, 8)).astype("<f2")
    values = rng.integers(-9, 10, (64, config.columns)).astype("<f2")
    indices = rng.integers(8, size=(64, config.columns)).astype(np.uint8)
    loads = [
        (Target.ACTIVATIONS, x.tobytes()),
        (Target.VALUES, values.tobytes()),
        (Target.INDICES, indices_payload(indices)),
        (Target.SCHEDULE, bytes([1] * 64)),
    ]
    packets = [packet_of(config, Load(target, 0, 64), content) for target, content in loads]
    common = {"relu": 0, "output": OutputFormat.FP32, "settings_page": 0, "activation_stride": 0}
    common |= {"activation_base": 0, "row_blocks": 1, "slot_base": 0, "schedule_base": 0}
    for number, count in enumerate((*counts, 20)):
        last = number == len(counts)
        side = Side(held=20 + number, held_step=3)
        packets.append(packet_of(config, side))
        run = Run(finish=1, schedule_count=count, held=number > 0, takes=not last, **common)
        packets.append(packet_of(config, run))
    answers = device.exchange(packets)
    header = config.header_beats * config.stream_bytes
    assert all(answer[2:4] == bytes(2) for answer in answers)
    return b"".join(answer[header:] for answer in answers)


def test_what_cannot_be_built():
    small = TrainingBuilder(preset("small"))
    x = small.tensor(8, 8)
    forward = TrainingBuilder(LEARNER).pruned(Tensor(LEARNER, 0, 16, 16, 32), 2).forward
    with pytest.raises(FormatError, match="'small' cannot group rows: build one with training"):
        small.kept_gradient(x, x, small.tensor(8, 8, 32), forward)
    builder = TrainingBuilder(LEARNER)
    x, dy = builder.tensor(16, 16), builder.tensor(16, 16)
    with pytest.raises(FormatError, match="2 of every 8 weights in 16 rows has 16 rows, not 24"):
        builder.kept_gradient(x, dy, builder.tensor(24, 16, 32), forward)
    narrow = replace(LEARNER, weight_slots=32)
    builder = TrainingBuilder(narrow)
    x, dy = builder.tensor(16, 16), builder.tensor(16, 16)
    forward = replace(forward, config=narrow, kept=4)
    with pytest.raises(FormatError, match="no room for the places of two tiles with 4 of 8"):
        builder.kept_gradient(x, dy, builder.tensor(32, 16, 32), forward)
