"""Sums of more terms than the accumulator is proven for: hardware and model wrap around alike, and
the driver refuses what could."""

import numpy as np
import pytest

from heddle.hw.config import MAX_TERMS, Config
from heddle.hw.formats import E5M2, FP16, INT8, OutputFormat
from heddle.hw.isa.codes import Target
from heddle.hw.isa.commands import Load, Run
from heddle.hw.isa.host_stream import packet_of
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler import bounds, packing
from heddle.sw.compiler.elements import to_raw
from heddle.sw.errors import FormatError
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.report.cross_coverage import CONFIGS
from heddle.sw.transports.simulated import SimulatedTransport

CONFIG = {config.name: config for config in CONFIGS}
WRAP_INT8, WRAP_FP16, WRAP_FP32 = CONFIG["int8"], CONFIG["fp16"], CONFIG["fp32"]


def sum_of(transport, x, w, terms: int) -> float:
    """`terms` times `x * w` by commands alone: pages full of one number, read round and round."""
    config = transport.config
    x, w = (to_raw(np.array(v), config.format).tobytes() for v in (x, w))
    rows = config.rows * config.group * config.activation_groups
    slots, columns = config.weight_slots, config.columns
    send = [
        packet_of(config, Load(Target.ACTIVATIONS, 0, config.activation_groups), x * rows),
        packet_of(config, Load(Target.VALUES, 0, slots), w * slots * columns),
        packet_of(config, Load(Target.INDICES, 0, slots), bytes(slots * columns // 2)),
    ]
    loaded = b""
    while terms:
        full, rest = divmod(min(terms, config.group * config.schedule_records), config.group)
        records = bytes([config.group] * full + [rest] * bool(rest))
        terms -= config.group * full + rest
        if records != loaded:
            send.append(packet_of(config, Load(Target.SCHEDULE, 0, len(records)), records))
            loaded = records
        fields = {"activation_base": 0, "activation_stride": 0, "row_blocks": 1, "slot_base": 0}
        fields |= {"schedule_base": 0, "schedule_count": len(records), "settings_page": 0}
        fields |= {"finish": not terms, "relu": False, "output": OutputFormat.FP32}
        send.append(packet_of(config, Run(**fields)))
    answers = transport.exchange(send)
    last = [answer_of(config, a).check(p) for a, p in zip(answers, send, strict=True)][-1]
    (sums,) = set(last.outputs(config, OutputFormat.FP32).view("f4").ravel().tolist())
    return sums


@pytest.mark.parametrize("kind", [ModelTransport, SimulatedTransport])
@pytest.mark.parametrize(
    ("config", "x", "w", "terms", "want"),
    [
        (WRAP_INT8, -128, -128, 131071, 131071 * 16384),
        (WRAP_INT8, -128, -128, 131072, -(2**31)),
        (WRAP_FP16, 65504, 65504, 32800, 32800 * 65504**2),
        (WRAP_FP16, 65504, 65504, 32808, 32808 * 65504**2 - 2**48),
        (WRAP_FP16, 65504, -65504, 32808, 2**48 - 32808 * 65504**2),
        # By 2^32 a step at last, so that 2^47 is met: sign and the low 95 bits are kept.
        (WRAP_FP32, 32768, -65504, 65600, None),
    ],
)
def test_a_sum_beyond_the_accumulator_wraps_alike(kind, config, x, w, terms, want):
    transport = kind(config)
    got = sum_of(transport, x, w, terms)
    transport.close()
    if want is None:
        total = np.float32(0)
        for _ in range(terms):
            total += np.float32(x) * np.float32(w)
        want = -(int(-total) % 2**47)
        assert total < -(2**47) and want > -(2**47)
    assert got == float(np.float32(want))


def column(config, kept: int, value: float, zeros: int = 0):
    w = np.zeros((kept + zeros, 1))
    w[:kept] = value
    return packing.pack(w, config.format, 8 if not zeros else None)


@pytest.mark.parametrize(
    ("config", "x", "w", "kept", "fits"),
    [
        (WRAP_INT8, -128, -128, 131072, False),
        (WRAP_INT8, -128, -128, 131071, True),
        (WRAP_INT8, -128, 127, 131072, True),
        (WRAP_INT8, 1, -128, 200_000, True),
        (WRAP_FP16, 65504, 65504, 32808, False),
        (WRAP_FP16, 65504, 65504, 32800, True),
        (WRAP_FP16, 65504, -32768, 65632, False),
        (WRAP_FP32, 65504, 65504, 32808, False),
        (WRAP_FP32, 65504, 65504, MAX_TERMS, True),
        (WRAP_FP32, 65504, 1, 40_000, True),
    ],
)
def test_the_driver_refuses_sums_that_might_not_fit(config, x, w, kept, fits):
    values = np.full((2, kept), x)
    values[0] = 0
    raw, weights = to_raw(values, config.format), column(config, kept, w)
    if fits:
        return bounds.check_sums(config, raw, weights)
    told = rf"row 1 and column 0, of {kept:,} kept weights.* cut K into parts of at most 32,768"
    with pytest.raises(FormatError, match=told):
        bounds.check_sums(config, raw, weights)
    with Device(ModelTransport(config)) as device, pytest.raises(FormatError, match=told):
        device.matmul(values, weights)
    return None


def test_only_kept_weights_count_and_each_column_by_its_own():
    largest = np.full((1, 140_000), -128)
    raw = to_raw(largest, INT8)
    bounds.check_sums(WRAP_INT8, raw, column(WRAP_INT8, 131_000, -128, zeros=9_000))
    w = np.zeros((140_000, 3), np.int8)
    w[:100, 0], w[:, 1], w[:, 2] = -128, 1, -128
    with pytest.raises(FormatError, match="row 0 and column 2, of 140,000 kept"):
        bounds.check_sums(WRAP_INT8, raw, packing.pack(w, INT8))
    # What its large weights meet decides, not the largest of all.
    raw = to_raw(np.where(np.arange(140_000) < 100, 127, 1)[None], INT8)
    bounds.check_sums(WRAP_INT8, raw, packing.pack(w, INT8))


@pytest.mark.parametrize("format", [INT8, FP16, E5M2], ids=lambda f: f.name)
def test_the_terms_that_are_promised_fit(format):
    """The largest elements there are, `MAX_TERMS` times, by docs/architecture.md's widths."""
    largest, bits, unit = {
        "int8": (128, 32, 0),
        "fp16": (65504, 96, -48),
        "e5m2": (57344, 80, -32),
    }[format.name]
    config = Config("widths", 1, 1, format)
    assert config.accumulator_bits == bits
    assert MAX_TERMS * largest**2 < 2 ** (bits - 1 + unit)
