"""The whole device in simulation: products of random shapes, and packets good and bad, bit for bit.

The generated Verilog runs with random stalls on both streams; the golden model behind the same
commands is the scoreboard.
"""

import numpy as np
import pytest

from hw.commands import OutputFormat, Status, Target
from hw.formats import E4M3
from sim import crossing, traffic
from sim.coverage import format_of
from sim.crossing import CONFIGS, random_product
from sim.model import ModelTransport
from sim.simulated import SimulatedTransport
from sw import driver, packing, protocol
from sw.device import Device
from sw.errors import DeviceError, FormatError


def transport(kind, config):
    if kind == "model":
        return ModelTransport(config)
    return SimulatedTransport(config, stalls=crossing.STALLS)


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
            options = {"output": output, "relu": bool(rng.integers(2))}
            if rng.integers(2):
                options["bias"] = rng.standard_normal(shape[2])
                options["scale"] = rng.random(shape[2]) + 0.1
            random_product(device, rng, n, shape, **options)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.name)
def test_every_crossing_of_features(config):
    """Formats x N x K aligned or not x drain overlapped or not x epilogue modes, all exact."""
    seen = crossing.cross(config)
    assert not seen.missing(format_of(config))
    assert seen.hits.total() == 9 * 2 * 2 * 3 * 2


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
