"""Bias and scale as integers: values written out from docs/architecture.md, and fractions."""

from fractions import Fraction

import numpy as np
import pytest

from heddle.hw.config import Config
from heddle.hw.formats import E4M3, E5M2, FP16, INT8
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler.settings import settings_of
from heddle.sw.errors import FormatError
from heddle.sw.host.device import Device

CONFIGS = {format: Config(format.name, 2, 2, format) for format in (INT8, FP16, E4M3, E5M2)}
UNIT = {INT8: 0, E4M3: -18, E5M2: -32, FP16: -48}
"""log2 of the sum's unit, as docs/architecture.md has it."""


@pytest.mark.parametrize("format", UNIT, ids=lambda f: f.name)
def test_a_bias_is_a_number_of_units(format):
    s = settings_of(CONFIGS[format], 3, bias=[1, -3, 0])
    assert s.bias == [1 << -UNIT[format], -3 << -UNIT[format], 0]
    # 32768 · 2^-15 = 1 takes a sum to its value.
    assert s.scale == [32768] * 3 and s.exponent == [UNIT[format] - 15] * 3


def test_a_bias_is_rounded_to_nearest_even():
    offsets = [0.7, -0.7, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.4, -2.6]
    want = [1, -1, 0, 2, 2, 0, -2, -2, 2, -3]
    assert settings_of(CONFIGS[INT8], len(offsets), bias=offsets).bias == want


@pytest.mark.parametrize(
    ("scale", "multiplier", "exponent"),
    [
        (1, 32768, -15),
        (3, 49152, -14),
        (0.75, 49152, -16),
        (1 / 3, 43691, -17),
        (0.1, 52429, -19),
        (65535, 65535, 0),
        (65536.5, 32768, 1),
        (1 - 2**-20, 32768, -15),  # a carry: 65536 · 2^-16
        (2 - 2**-17, 32768, -14),
        (0, 0, -15),
    ],
)
def test_a_scale_has_sixteen_bits(scale, multiplier, exponent):
    s = settings_of(CONFIGS[INT8], 1, scale=scale)
    assert (s.scale, s.exponent) == ([multiplier], [exponent])


def test_the_weights_steps_divide_the_bias_and_multiply_the_scale():
    s = settings_of(CONFIGS[INT8], 2, bias=6, scale=[1, 3], steps=[2, 0.5])
    assert s.bias == [3, 12] and s.scale == [32768, 49152] and s.exponent == [-14, -15]
    for scale, step in ((1e-300, 1e-300), (1e300, 1e300), (5e-324, 3.0)):
        s = settings_of(CONFIGS[INT8], 1, scale=scale, steps=step)
        exact = Fraction(scale) * Fraction(step)
        assert abs(s.scale[0] * Fraction(2) ** s.exponent[0] / exact - 1) <= Fraction(1, 1 << 16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bias": 1e300}, r"bias of output 0 is 1e\+300 .* holds less than 2.14748e\+09"),
        ({"bias": [0, 2.0**31]}, "bias of output 1"),
        ({"bias": [0, 2.0**31 - 0.25]}, "bias of output 1 rounds beyond"),
        ({"bias": -(2.0**31) - 1}, "bias of output 0"),
        ({"bias": 1.0, "steps": 1e-300}, "bias of output 0"),
        ({"bias": np.nan}, "bias must be finite"),
        ({"bias": 10**400}, "bias must hold real numbers|cannot be read"),
        ({"bias": [1, 2, 3]}, "bias: one number or 2"),
        ({"bias": "x"}, "bias must hold real numbers"),
        ({"scale": -1.0}, "cannot be negative"),
        ({"scale": np.inf}, "scale must be finite"),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises(FormatError, match=words):
        settings_of(CONFIGS[INT8], 2, **options)


def test_the_largest_biases_fit():
    assert settings_of(CONFIGS[INT8], 2, bias=[-(2.0**31), 2**31 - 1]).bias == [-(2**31), 2**31 - 1]


def nearest(exact: Fraction) -> np.float32:
    """The binary32 nearest to `exact`, ties to even."""
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(side)) for side in (-np.inf, np.inf)]
    return min((guess, *around), key=lambda f: (abs(Fraction(float(f)) - exact), f.view("u4") & 1))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("format", [INT8, FP16], ids=lambda f: f.name)
def test_a_product_in_fractions(format, relu):
    rng = np.random.default_rng(5)
    x, w = rng.integers(-99, 99, (3, 11)), rng.integers(-99, 99, (11, 5))
    if format is FP16:
        x, w = x / 64, w / 1024
    bias, scale = rng.standard_normal(5) * 100, rng.random(5) * 10
    with Device(ModelTransport(CONFIGS[format])) as device:
        y, _ = device.matmul(x, w, bias=bias, scale=scale, relu=relu)
    assert y.dtype == np.float32
    unit = Fraction(2) ** UNIT[format]
    for i, j in np.ndindex(y.shape):
        total = sum(Fraction(a) * Fraction(b) for a, b in zip(x[i], w[:, j], strict=True))
        total += round(Fraction(bias[j]) / unit) * unit
        place = Fraction(2) ** (int(np.floor(np.log2(scale[j]))) - 15)
        total *= round(Fraction(scale[j]) / place) * place
        want = np.float32(0) if relu and total < 0 else nearest(total)
        assert y[i, j] == want
