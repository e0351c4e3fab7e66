"""The whole device in simulation: products of random shapes, and packets good and bad, bit for bit.

The generated Verilog runs with random stalls on both streams; the golden model behind the same
commands is the scoreboard.
"""

import numpy as np
import pytest

from hw.commands import OutputFormat, Status, Target
from hw.config import Accumulation, Config
from hw.formats import E4M3, E5M2, FP16, INT8
from sim import traffic
from sim.golden import dot, epilogue
from sim.model import ModelTransport
from sim.simulated import SimulatedTransport, Stalls
from sw import driver, nm, packing, protocol
from sw.device import Device
from sw.errors import DeviceError, FormatError

PAGES = {"activation_groups": 16, "weight_slots": 64, "schedule_records": 16}
CONFIGS = [
    Config("int8", 4, 3, INT8, **PAGES | {"weight_slots": 16}),
    Config("fp16", 2, 4, FP16, lanes=2, interleave=2, **PAGES),
    Config("fp32", 2, 2, FP16, accumulation=Accumulation.FP32, interleave=5, **PAGES),
    Config("e4m3", 3, 5, E4M3, **PAGES),
    Config("e5m2", 1, 1, E5M2, **PAGES),
]


def expected(config, x, weights, bias, scale, relu, output):
    """The product by the golden model alone, without driver or device."""
    raw = packing.to_raw(x, config.format)
    if config.accumulation is Accumulation.FP32:
        sums = dot.as_integers(config.format, dot.fp32_matmul(raw, weights.unpack()))
    else:
        sums = dot.exact_matmul(config.format, raw, weights.unpack())
    s = driver.settings(config, weights.shape[1], bias, scale)
    columns = (np.array(v, object) for v in (s.bias, s.scale, s.exponent))
    return epilogue.finish(sums, *columns, relu, output).raw


def product(device, rng, n, output, relu, shape, real_scale):
    config = device.config
    rows, inner, outputs = shape
    x, w = rng.standard_normal((rows, inner)), rng.standard_normal((inner, outputs))
    if config.format is INT8:
        x, w = x * 40, w * 40
    w = np.where(rng.random(w.shape) < 0.3, w, 0) if n is None else nm.prune(w, n, 8)
    weights = packing.pack(w, config.format, n, 8)
    bias = rng.standard_normal(outputs) if real_scale else None
    scale = rng.random(outputs) + 0.1 if real_scale else None
    got, stats = driver.matmul(device, x, weights, bias=bias, scale=scale, relu=relu, output=output)
    assert np.array_equal(got, expected(config, x, weights, bias, scale, relu, output))
    return stats


def transport(kind, config):
    if kind == "model":
        return ModelTransport(config)
    return SimulatedTransport(config, stalls=Stalls(0.3, 0.3, seed=5))


@pytest.mark.parametrize("kind", ["model", "sim"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_products_of_random_shapes(kind, config):
    rng = np.random.default_rng(7)
    with Device(transport(kind, config), config.name) as device:
        for i in range(14):
            inner = int(rng.integers(1, 60)) if i % 3 else int(rng.integers(100, 300))
            shape = (int(rng.integers(1, 20)), inner, int(rng.integers(1, 14)))
            n = [None, 0, 1, 2, 3, 4, 8][rng.integers(7)]
            output = OutputFormat(int(rng.integers(3)))
            product(device, rng, n, output, bool(rng.integers(2)), shape, bool(rng.integers(2)))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_every_crossing_of_features(config):
    """Formats x N x K aligned or not x drain overlapped or not x epilogue modes, all exact."""
    rng = np.random.default_rng(8)
    seen = set()
    with Device(transport("sim", config), config.name) as device:
        for n in range(9):
            for aligned in (True, False):
                for overlapped in (True, False):
                    for output in OutputFormat:
                        for relu in (True, False):
                            blocks = 3 if overlapped else 1
                            shape = (blocks * config.rows, 16 if aligned else 13, 2)
                            stats = product(device, rng, n, output, relu, shape, False)
                            assert stats.counters["tiles"] >= blocks
                            seen.add((n, aligned, overlapped, output, relu))
    assert len(seen) == 9 * 2 * 2 * 3 * 2


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_packets_good_and_bad(config):
    """Every response equals the model's; the device goes on after each error."""
    rng = np.random.default_rng(9)
    packets = [traffic.command(config, rng) for _ in range(400)]
    simulated, model = transport("sim", config), transport("model", config)
    got, want = simulated.exchange(packets), model.exchange(packets)
    statuses = set()
    for sent, a, b in zip(packets, got, want, strict=True):
        if len(sent) < max(32, config.stream_bytes):
            assert protocol.response(config, a).status == Status.BAD_LENGTH
            statuses.add(Status.BAD_LENGTH)
            continue
        first, second = protocol.response(config, a), protocol.response(config, b)
        assert (first.status, first.rows, first.tag) == (second.status, second.rows, second.tag)
        assert first.body == second.body
        statuses.add(Status(first.status))
    assert statuses == set(Status)
    simulated.close()


def test_infinities_are_reported_and_a_reset_recovers():
    config = CONFIGS[1]
    with Device(transport("sim", config), config.name) as device:
        payload = np.full((config.rows * config.group,), 0x7C00, np.uint16).tobytes()
        bad = protocol.load(config, Target.ACTIVATIONS, 0, 1, payload)
        device.transport.exchange([bad])
        assert {f.name for f in device.flags()} == {"NONFINITE_ACTIVATION"}
        device.reset()
        device.clear()
        assert not device.flags()
        rng = np.random.default_rng(1)
        product(device, rng, 2, OutputFormat.FP32, False, (5, 20, 6), True)


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
