"""The whole device in simulation: products of random shapes, and packets good and bad, bit for bit.

The generated Verilog runs with random stalls on both streams; the golden model behind the same
commands is the scoreboard.
"""

import numpy as np
import pytest

from heddle.hw.config import Config
from heddle.hw.formats import E4M3, E5M2, INT4, INT8, ROUNDED, OutputFormat
from heddle.hw.isa.codes import Status, Target
from heddle.hw.isa.commands import Load, Sync
from heddle.hw.isa.host_stream import packet_of
from heddle.hw.isa.registers import ADDRESS
from heddle.sim.golden import numbers
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches import traffic
from heddle.sw.compiler import packing
from heddle.sw.compiler.elements import Raw
from heddle.sw.errors import DeviceError, FormatError
from heddle.sw.host import driver
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.host.open import open_device
from heddle.sw.report import cross_coverage
from heddle.sw.report.coverage import format_of
from heddle.sw.report.cross_coverage import CONFIGS, compare, random_product
from heddle.sw.transports.simulated import External, SimulatedTransport, Stalls

from .devices import EVERYTHING, LEARNER, TINY

SOME = [
    pytest.param(config, marks=[pytest.mark.slow] * (config.format in (INT4, E5M2)))
    for config in CONFIGS
]
"""Two formats have a wider kin among the others."""


def name_of(config) -> str:
    return config.name


def transport(kind, config):
    if kind == "model":
        return ModelTransport(config)
    # Of the one that trains there is a simulator already.
    more = {"optimise": "-O0"} if config == LEARNER else {}
    return SimulatedTransport(config, stalls=cross_coverage.STALLS, **more)


COMPACT = Config(
    *("compact", 2, 2, INT8),
    columns_per_epilogue=2,
    runs_ahead=2,
    compact=True,
    **cross_coverage.PAGES,
)


@pytest.mark.parametrize("kind", ["model", "sim"])
@pytest.mark.parametrize("config", [*SOME, COMPACT], ids=name_of)
def test_products_of_random_shapes(kind, config):
    rng = np.random.default_rng(7)
    with Device(transport(kind, config), config.name) as device:
        for i in range(14):
            inner = int(rng.integers(1, 60)) if i % 3 else int(rng.integers(100, 300))
            shape = (int(rng.integers(1, 20)), inner, int(rng.integers(1, 14)))
            n = [None, 0, 1, 2, 3, 4, 8][rng.integers(7)]
            output = OutputFormat(int(rng.integers(3)))
            options = {"output": output, "relu": bool(rng.integers(2))}
            if rng.integers(2):
                options["bias"] = rng.standard_normal(shape[2])
                options["scale"] = rng.random(shape[2]) + 0.1
            random_product(device, rng, n, shape, **options)


def test_amaranths_own_simulator():
    """The fallback for machines without a C++ compiler: the same bits by the same API."""
    config = Config("two", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
    with open_device("amaranth", config=config) as opened:
        random_product(opened, np.random.default_rng(1), 2, (3, 11, 3), bias=np.ones(3))


@pytest.mark.parametrize("stalls", [Stalls(0.97, 0.97, 3), Stalls(0, 0.97, 4)], ids=["both", "out"])
def test_a_slow_host(stalls):
    """As slow as a serial line: sums wait in their queues long after their tile has drained."""
    config = cross_coverage.CONFIGS[1]
    rng = np.random.default_rng(3)
    with Device(SimulatedTransport(config, stalls=stalls)) as device:
        for n in (2, 8):
            bias, shape = rng.standard_normal(40), (9, 40, 40)
            random_product(device, rng, n, shape, bias=bias, output=OutputFormat.FP16)


@pytest.mark.parametrize("config", SOME, ids=name_of)
def test_every_crossing_of_features(config):
    """Formats x N x K aligned or not x drain overlapped or not x epilogue modes, all exact."""
    seen = cross_coverage.cross(config)
    assert not seen.missing(format_of(config))
    assert seen.hits.total() == 9 * 2 * 2 * 3 * 2


def directed(config, rng):
    """Products (name, raw activations, raw weights, n) whose answers are easy to get wrong."""
    format, group = config.format, config.group
    codes = np.arange(1 << format.bits).astype(numbers.raw_dtype(format))
    codes = codes[numbers.is_finite(format, codes)]
    order = np.argsort(np.abs(numbers.significands(format, codes)), kind="stable")
    small, large = codes[order[:6]], codes[order[-4:]]
    edges = np.concatenate([small, large])

    sign = codes.dtype.type(1 << (format.bits - 1))

    def negative(raw):
        return raw ^ sign if format.is_float else 0 - raw & 2 * int(sign) - 1

    def pick(choice, *shape):
        return rng.choice(choice, shape)

    rows, columns, inner = config.rows + 1, config.tile_columns + 1, 2 * group + 3
    yield "one row", pick(codes, 1, inner), pick(codes, inner, columns), 8
    yield "one column", pick(codes, rows, inner), pick(codes, inner, 1), 8
    yield "one product", pick(codes, 1, 1), pick(codes, 1, 1), 8
    yield "just a tile", pick(codes, rows - 1, group), pick(codes, group, columns - 1), 8
    yield "just over it", pick(codes, rows, group + 1), pick(codes, group + 1, columns), 8
    yield "zeros, subnormals, largest", pick(edges, rows, inner), pick(edges, inner, columns), 8
    yield "smallest", pick(small, rows, inner), pick(small, inner, columns), 8
    yield "largest", pick(large[-1:], rows, inner), pick(large[-1:], inner, columns), 8
    zeros = small[numbers.significands(format, small) == 0]
    yield "zeros of both signs", pick(zeros, rows, inner), pick(zeros, inner, columns), 8

    # What the first half adds the second takes away; the smallest product there is remains.
    x, w = pick(codes, rows, group), pick(codes, group, columns)
    if not format.is_float:
        w = np.where(w == sign, sign - 1, w).astype(w.dtype)  # the one without a negative
    positive = numbers.significands(format, codes)
    tiny = codes[positive == positive[positive > 0].min()]
    x, w = np.hstack([x, x]), np.vstack([w, negative(w)])
    yield "cancellation", x, w, 8
    x = np.hstack([x, pick(tiny, rows, 1)])
    w = np.vstack([w, pick(tiny, 1, columns)])
    yield "all but cancellation", x, w, 8

    # Groups without weights: first, between, last, all; and more than a record can skip.
    w = pick(codes, 5 * group, columns)
    w[:group] = w[2 * group : 3 * group] = w[-group:] = 0
    yield "empty groups", pick(codes, rows, 5 * group), w, None
    yield "no weights", pick(codes, rows, inner), np.zeros((inner, columns), codes.dtype), 0
    long = 2 * config.activation_groups * group + 5
    w = np.zeros((long, columns), codes.dtype)
    w[-2:] = pick(codes, 2, columns)
    yield "a long way to the last group", pick(codes, rows, long), w, None


@pytest.mark.parametrize("config", SOME, ids=name_of)
def test_directed_products(config):
    rng = np.random.default_rng(10)
    with Device(transport("sim", config), config.name) as device:
        for name, x, w, n in directed(config, rng):
            weights = packing.pack(Raw(w), config.format, n, config.group)
            for output in ROUNDED:
                for relu in (False, True):
                    print(name, output.name, relu)  # shown if it fails
                    compare(device, Raw(x), weights, output=output, relu=relu)


"""A vector unit, side operands and external memory: all that reads and writes tensor memory."""
SLOW = External(latency=37, bandwidth=0.7, stall=0.3, broken=range(1000, 1096))
"""How that behaves: some of it, where no words of the host lie, answers with errors."""


@pytest.mark.parametrize(
    "config",
    [*SOME, TINY, LEARNER, pytest.param(EVERYTHING, marks=pytest.mark.slow)],
    ids=name_of,
)
def test_packets_good_and_bad(config):
    """Every response equals the model's; the device goes on after each error."""
    rng = np.random.default_rng(9)
    packets = [traffic.command(config, rng, ordered=True) for _ in range(400)]
    packets.append(packet_of(config, Sync()))
    simulated, model = transport("sim", config), transport("model", config)
    if config.external_bits:
        simulated.behave(SLOW)
        model = ModelTransport(config, SLOW.broken)
    got, want = simulated.exchange(packets), model.exchange(packets)
    statuses = set()
    for a, b in zip(got, want, strict=True):
        # All but the flags, which come with time, and the check, which is over them.
        assert a[:8] + a[10:30] + a[32:] == b[:8] + b[10:30] + b[32:]
        statuses.add(Status(answer_of(config, a).status))
    assert statuses == set(Status)
    for name in ("commands", "errors", "macs", "tiles", "flags"):
        address = ADDRESS[name]
        assert simulated.read_register(address) == model.read_register(address), name
    simulated.close()


def test_infinities_are_reported_and_a_reset_recovers():
    config = CONFIGS[1]
    with Device(transport("sim", config), config.name) as device:
        payload = np.full((config.rows * config.group,), 0x7C00, np.uint16).tobytes()
        bad = packet_of(config, Load(Target.ACTIVATIONS, 0, 1), payload)
        device.transport.exchange([bad])
        assert {f.name for f in device.flags()} == {"NONFINITE_ACTIVATION"}
        device.reset()
        device.clear()
        assert not device.flags()
        rng = np.random.default_rng(1)
        random_product(device, rng, 2, (5, 20, 6), bias=0.5, scale=0.3)


@pytest.mark.parametrize(
    ("x", "w", "options", "words"),
    [
        (np.zeros((2, 9)), np.zeros((8, 2)), {}, r"\[B, 8\]"),
        (np.zeros(8), np.zeros((8, 2)), {}, r"\[B, 8\]"),
        (np.full((1, 8), np.inf), np.zeros((8, 2)), {}, "finite"),
        (np.zeros((1, 8)), np.zeros((8, 2)), {"bias": np.zeros(3)}, "one number or 2"),
        (np.zeros((1, 8)), np.zeros((8, 2)), {"scale": -1.0}, "negative"),
        (np.zeros((1, 8)), packing.pack(np.zeros((8, 2)), E4M3), {}, "pack them again"),
    ],
)
def test_bad_products_are_refused(x, w, options, words):
    with Device(ModelTransport(CONFIGS[1])) as device, pytest.raises(FormatError, match=words):
        driver.matmul(device, x, w, **options)


def test_what_is_no_device_is_said_to_be_none():
    class Nothing(ModelTransport):
        def read_register(self, address):
            return 0

    with pytest.raises(DeviceError, match="no Heddle device"):
        Device(Nothing(CONFIGS[0]))


def test_the_models_progress_is_told():
    told = []
    packets = [packet_of(CONFIGS[0], Sync())] * 3
    assert len(ModelTransport(CONFIGS[0]).exchange(packets, told.append)) == 3
    assert told == [1, 2, 3]
