"""Formats: those that land and six that a line adds, against a reading of IEEE 754 of their own;
those that the hardware cannot carry are refused, with the reason."""

import pickle
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from amaranth.sim import Simulator

from heddle.hw import config as configuration
from heddle.hw.arith.operand import OperandDecoder
from heddle.hw.config import Accumulation, Config, ConfigError
from heddle.hw.formats import (
    BF16,
    E4M3,
    FORMATS,
    FP16,
    INT4,
    INT8,
    STEP_LOG2,
    Format,
    OutputFormat,
    Specials,
)
from heddle.hw.isa.registers import ADDRESS, config_from, constants
from heddle.sim.golden import numbers
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler import nm, packing
from heddle.sw.compiler.elements import Raw, to_raw
from heddle.sw.errors import DeviceError, FormatError
from heddle.sw.host import driver, selftest
from heddle.sw.host.device import Device
from heddle.sw.nn import container
from heddle.sw.transports.simulated import SimulatedTransport

SIZES = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
ADDED = [
    Format("int16", 0, 15),
    Format("int6", 0, 5),
    Format("e2m1", 2, 1),
    Format("e3m2", 3, 2),
    Format("e2m3", 2, 3),
    Format("e4m3-ieee", 4, 3, Specials.IEEE),
]
"""None of them lands; OCP's microscaling formats FP4 and FP6 (E2M1, E3M2, E2M3) are among them."""
CHECKED = [INT4, BF16, *ADDED]
# A name that the table below does not have would be a KeyError.
LITERALS = {
    "int4": {0x0: 0, 0x7: 7, 0x8: -8, 0xF: -1},
    "bf16": {0x3F80: 1, 0xC049: -3.140625, 0x3580: 2.0**-20, 0x457F: 4080, 0x8000: 0},
    "int16": {0x7FFF: 32767, 0x8000: -32768, 0xFFFF: -1},
    "int6": {0x1F: 31, 0x20: -32, 0x3F: -1},
    "e2m1": {0x1: 0.5, 0x2: 1, 0x3: 1.5, 0x4: 2, 0x5: 3, 0x6: 4, 0x7: 6, 0xF: -6},
    "e3m2": {0x1: 0.0625, 0x1F: 28, 0x3F: -28},
    "e2m3": {0x1: 0.125, 0x1F: 7.5, 0x3F: -7.5},
    "e4m3-ieee": {0x1: 2.0**-9, 0x38: 1, 0x77: 240, 0xF7: -240},
}
NO_NUMBERS = {
    "bf16": (0x0001, 0x007F, 0x357F, 0x4580, 0x7F80, 0x7FC0, 0xFFFF, 0x8001),
    "int6": (0x40, 0x80, 0xFF),
    "e3m2": (0x40, 0xC0),
    "e2m3": (0x40, 0x80),
    "e4m3-ieee": (0x78, 0x7F, 0xF8),
}
"""Infinities, NaNs, outside the window, and bits above the code."""


@pytest.mark.parametrize("highest, fits", [(182, True), (183, False)])
def test_binary32_has_room_for_the_largest_sum(highest, fits):
    # 2**15 products of 2**55 and 2**55 reach 2**125. With the next exponent they reach 2**127, too
    # near to 2**128 for what additions round up.
    powers = Format("powers", 8, 0, Specials.IEEE, window=(170, highest))
    assert powers.fits_binary32(1 << 15) is fits


@pytest.fixture(params=CHECKED, ids=lambda f: f.name)
def format(request, monkeypatch):
    """A format with its line in `FORMATS`."""
    monkeypatch.setitem(FORMATS, request.param.name, request.param)
    return request.param


def value(exponent_bits: int, fraction_bits: int, code: int) -> Fraction:
    """What IEEE 754-2019, 3.4, says a finite code is worth; integers are two's complement."""
    width = 1 + exponent_bits + fraction_bits
    sign, rest = code >> width - 1, code & ((1 << width - 1) - 1)
    if not exponent_bits:
        return Fraction(rest - (sign << width - 1))
    field, fraction = rest >> fraction_bits, rest & ((1 << fraction_bits) - 1)
    bias = 2 ** (exponent_bits - 1) - 1
    part = Fraction(fraction, 1 << fraction_bits)
    size = (1 + part) * Fraction(2) ** (field - bias) if field else part * Fraction(2) ** (1 - bias)
    return -size if sign else size


def codes(format: Format) -> np.ndarray:
    return np.arange(1 << format.bits).astype(numbers.raw_dtype(format))


def binary32(exact: Fraction) -> int:
    """The bits of the binary32 nearest to a number that is neither subnormal nor too large."""
    if not exact:
        return 0
    size, place = abs(exact), 0
    while size * Fraction(2) ** -place >= 1 << 24:
        place += 1
    while size * Fraction(2) ** -place < 1 << 23:
        place -= 1
    scaled = size * Fraction(2) ** -place
    return int(np.float32(float(round(scaled)) * 2.0**place * (1 if exact > 0 else -1)).view("u4"))


def test_every_code_means_what_the_standard_says(format):
    got = numbers.to_float(format, codes(format))
    finite = np.isfinite(got)
    for code in codes(format)[finite][:: 1 if format.bits < 16 else 61].tolist():
        exact = value(format.exponent_bits, format.fraction_bits, code)
        assert Fraction(got[code]) == exact, hex(code)
    for code, number in LITERALS[format.name].items():
        assert got[code] == number, hex(code)
    assert not finite[list(NO_NUMBERS.get(format.name, ()))].any()
    if format.name not in NO_NUMBERS:
        assert finite.all()


def test_floats_become_the_nearest_code(format):
    rng = np.random.default_rng(1)
    raw = codes(format)[numbers.is_finite(format, codes(format))]
    table = numbers.to_float(format, raw)
    inside = np.concatenate([rng.standard_normal(300) * s for s in (0.01, 1, 5)])
    inside = inside[np.abs(inside) <= table.max()]
    rounded = numbers.to_float(format, numbers.from_float(format, inside))
    for got, x in zip(rounded, inside, strict=True):
        assert abs(got - x) == np.abs(table - x).min(), x
    assert np.array_equal(numbers.to_float(format, numbers.from_float(format, table)), table)


def test_out_of_range_saturates_or_is_refused(format):
    raw = codes(format)[numbers.is_finite(format, codes(format))]
    largest = numbers.to_float(format, raw).max()
    big = np.array([[largest * 1.5 + 1, 0.0]])
    if format.name in ("bf16", "e4m3-ieee"):
        with pytest.raises(FormatError, match=f"not a finite {format.name} number"):
            to_raw(big, format)
    else:
        assert numbers.to_float(format, numbers.from_float(format, big))[0, 0] == largest
        with pytest.raises(FormatError, match=f"at .0, 0. is beyond {format.name}"):
            to_raw(big, format)
    for code in NO_NUMBERS.get(format.name, ()):
        with pytest.raises(FormatError, match=f"not a finite {format.name} number"):
            to_raw(Raw(np.array([[code]], numbers.raw_dtype(format))), format)


def test_hardware_decodes_every_code(format):
    some = codes(format)
    if format.bits == 16:
        edges = [*LITERALS[format.name], *NO_NUMBERS.get(format.name, ())]
        some = np.concatenate([np.random.default_rng(1).choice(some, 1000), edges])
    decoder = OperandDecoder(format)
    low = Fraction(2) ** format.unit_log2

    async def testbench(ctx):
        for code in some.tolist():
            ctx.set(decoder.raw, code)
            operand = ctx.get(decoder.operand)
            got = operand.value << (operand.step << STEP_LOG2)
            finite = bool(numbers.is_finite(format, code))
            exact = value(format.exponent_bits, format.fraction_bits, code) if finite else 0
            assert got * low == exact, hex(code)
            assert ctx.get(decoder.nonfinite) == (not finite), hex(code)

    simulator = Simulator(decoder)
    simulator.add_testbench(testbench)
    simulator.run()


def product(format: Format, rng):
    """Raw activations, packed 3:8 weights, and the bits of their exact product in FP32."""
    raw = codes(format)[numbers.is_finite(format, codes(format))]
    x = rng.choice(raw, (5, 21))
    w = rng.choice(raw, (21, 5))
    w = np.where(nm.mask(numbers.to_float(format, w), 3, 8), w, 0).astype(w.dtype)
    bits = np.zeros((5, 5), np.uint32)
    for i, j in np.ndindex(5, 5):
        pairs = zip(x[i].tolist(), w[:, j].tolist(), strict=True)
        fields = format.exponent_bits, format.fraction_bits
        bits[i, j] = binary32(sum((value(*fields, a) * value(*fields, b) for a, b in pairs)))
    return Raw(x), packing.pack(Raw(w), format, 3, 8), bits


def test_a_model_device_multiplies_exactly(format):
    config = Config("two", 2, 2, format, **SIZES)
    with Device(ModelTransport(config)) as device:
        for seed in range(3):
            x, weights, bits = product(format, np.random.default_rng(seed))
            assert np.array_equal(driver.matmul(device, x, weights, raw=True)[0], bits)


@pytest.mark.slow
def test_a_simulated_device_multiplies_exactly(format):
    """The formats that landed are crossed in tests/sim/test_device.py too."""
    config = Config("two", 2, 3, format, lanes=2, **SIZES)
    with Device(SimulatedTransport(config, optimise="-O0")) as device:
        for seed in range(5):
            x, weights, bits = product(format, np.random.default_rng(seed))
            assert np.array_equal(driver.matmul(device, x, weights, raw=True)[0], bits)
        results = selftest.run(device)
        assert all(r.passed for r in results), [r.note for r in results if not r.passed]


def test_the_self_test_passes_on_the_model(format):
    with Device(ModelTransport(Config("two", 2, 2, format, **SIZES))) as device:
        results = selftest.run(device)
    assert all(r.passed for r in results), [r.note for r in results if not r.passed]


def test_files_and_registers_keep_the_format(format, tmp_path):
    dense = np.random.default_rng(1).standard_normal((16, 3))
    packed = packing.pack(dense, format, scale="column")
    container.save(tmp_path / "w.safetensors", {"w": packed})
    assert container.load(tmp_path / "w.safetensors")[0]["w"] == packed
    config = Config("two", 2, 2, format, **SIZES)
    assert config_from(constants(config), "two") == config


def test_codes_of_formats_stay_as_they_are():
    """A device says in a register which it is: the place in this list."""
    assert list(FORMATS) == ["int8", "fp16", "e4m3", "e5m2", "int4", "bf16"]


def test_int4_travels_two_to_a_byte():
    config = Config("narrow", 8, 4, INT4)
    assert config.stream_bytes == 4
    packed = packing.pack(np.full((8, 4), -3), INT4)
    assert packed.nbytes == 32 // 2 + 32 // 2 + 4


@pytest.mark.parametrize(
    ("format", "reason"),
    [
        (Format("f", 8, 7, Specials.IEEE), "needs 538 bits.*there are 96.*window"),
        (replace(BF16, window=(107, 140)), "needs 98 bits"),
        (replace(BF16, window=(0, 20)), "from 1 to 254, not 0 to 20"),
        (replace(BF16, window=(240, 255)), "from 1 to 254, not 240 to 255"),
        (replace(BF16, window=(120, 110)), "not 120 to 110"),
        (Format("f", 8, 23, Specials.IEEE), "2 to 16 bits, not 32"),
        (Format("f", 0, 31), "2 to 16 bits, not 32"),
        (Format("f", 0, 0), "2 to 16 bits, not 1"),
        (Format("f", 0, 7, Specials.IEEE), "neither specials"),
        (Format("f", 0, 7, window=(1, 2)), "nor a window"),
        (Format("f", 1, 6, Specials.IEEE), "from 1 to 0"),
        (Format("f", 6, 9, Specials.IEEE), "bits"),
    ],
)
def test_what_the_hardware_cannot_carry_is_refused_with_its_reason(monkeypatch, format, reason):
    monkeypatch.setitem(FORMATS, format.name, format)
    with pytest.raises(ConfigError, match=f"format {format.name} cannot be built: .*{reason}"):
        Config("two", 2, 2, format)


def test_an_unknown_format_is_refused():
    with pytest.raises(ConfigError, match="format must be one of int8, fp16"):
        Config("two", 2, 2, ADDED[0])


def test_the_widest_sum_is_as_wide_as_a_bias():
    assert {f.name: f.accumulator_bits(configuration.MAX_TERMS) for f in FORMATS.values()} == {
        "int8": 31,
        "fp16": 96,
        "e4m3": 52,
        "e5m2": 80,
        "int4": 23,
        "bf16": 94,
    }


@pytest.mark.parametrize("format", [BF16, E4M3], ids=lambda f: f.name)
def test_binary32_accumulation_of_other_floats(format):
    config = Config(
        "f",
        2,
        2,
        format,
        accumulation=Accumulation.FP32,
        interleave=5,
        **SIZES | {"weight_slots": 64},
    )
    rng = np.random.default_rng(4)
    raw = codes(format)[numbers.is_finite(format, codes(format))]
    x, w = rng.choice(raw, (2, 8)), rng.choice(raw, (8, 2))
    with Device(ModelTransport(config)) as device:
        got, _ = driver.matmul(device, Raw(x), packing.pack(Raw(w), format), raw=True)
    want = np.zeros((2, 2), np.float32)
    for i, j in np.ndindex(2, 2):
        for a, b in zip(x[i].tolist(), w[:, j].tolist(), strict=True):
            fields = format.exponent_bits, format.fraction_bits
            # A product has at most 16 bits: as a double it is exact, and so is its binary32.
            want[i, j] += np.float32(float(value(*fields, a) * value(*fields, b)))
    assert np.array_equal(got, want.view(np.uint32))
    for integer in (INT8, INT4):
        with pytest.raises(ConfigError, match=f"products of {integer.name} are not made"):
            replace(config, format=integer)


def test_equal_formats_are_the_same_format():
    """A configuration that came through a file or from another process is as good."""
    config = Config(
        "f",
        2,
        2,
        FP16,
        accumulation=Accumulation.FP32,
        interleave=5,
        **SIZES | {"weight_slots": 64},
    )
    for original in (config, Config("i", 2, 2, INT8, **SIZES)):
        copy = pickle.loads(pickle.dumps(original))
        assert copy == original and copy.format is not original.format
        assert constants(replace(copy, name="again")) == constants(original)
        with Device(ModelTransport(copy)) as device:
            results = selftest.run(device)
        assert all(r.passed for r in results), [r.note for r in results if not r.passed]
    with Device(ModelTransport(Config("e", 2, 2, replace(FP16), **SIZES))) as device:
        ones = np.ones((8, 2))
        got, _ = driver.matmul(device, ones.T, packing.pack(ones, FP16), output=OutputFormat.FP16)
    assert got.dtype == np.float16 and (got == 8).all()


def test_no_code_asks_whether_a_format_is_the_same_object():
    names = "|".join(name.upper() for name in FORMATS)
    root = Path(configuration.__file__).resolve().parents[1]
    for path in (p for part in ("hw", "sw", "sim") for p in (root / part).rglob("*.py")):
        found = re.search(rf"\bis (not )?({names})\b", path.read_text())
        assert not found, f"{path}: {found and found[0]}"


@pytest.mark.parametrize("word", [99, 3 | 7 << 8])
def test_a_device_of_an_unknown_format_is_not_driven(monkeypatch, word):
    config = Config("two", 2, 2, INT8, **SIZES)
    transport = ModelTransport(config)
    read = transport.read_register
    strange = config.group << 16 | config.interleave << 24 | word
    monkeypatch.setattr(
        transport, "read_register", lambda at: strange if at == ADDRESS["format"] else read(at)
    )
    with pytest.raises(DeviceError, match="not known to this release.*load a bitstream"):
        Device(transport)
