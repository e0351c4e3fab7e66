"""The golden model against other arithmetic: fractions, fsum, NumPy's own conversions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from heddle.hw.commands import OutputFormat
from heddle.hw.formats import E4M3, E5M2, FORMATS, FP16, INT8
from heddle.sim.golden import dot, epilogue, numbers


def codes(format):
    return np.arange(1 << format.bits).astype(numbers.raw_dtype(format))


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)
def test_every_code_survives_a_round_trip(format):
    finite = codes(format)[numbers.is_finite(format, codes(format))]
    assert np.array_equal(numbers.from_float(format, numbers.to_float(format, finite)), finite)


@pytest.mark.parametrize(
    ("format", "largest", "smallest", "specials"),
    [(E4M3, 448.0, 2.0**-9, 2), (E5M2, 57344.0, 2.0**-16, 8), (FP16, 65504.0, 2.0**-24, 2048)],
)
def test_extremes_of_the_standards(format, largest, smallest, specials):
    values = numbers.to_float(format, codes(format))
    finite = values[np.isfinite(values)]
    assert finite.max() == largest
    assert finite[finite > 0].min() == smallest
    assert (~np.isfinite(values)).sum() == specials


@pytest.mark.parametrize("format", [E4M3, E5M2], ids=lambda f: f.name)
def test_rounding_to_8_bits_is_nearest_and_ties_go_to_even(format):
    finite = codes(format)[:128][numbers.is_finite(format, codes(format)[:128])]
    values = numbers.to_float(format, finite)
    middles = (values[:-1] + values[1:]) / 2
    even = np.where(finite[:-1] % 2 == 0, finite[:-1], finite[1:])
    assert np.array_equal(numbers.from_float(format, middles), even)
    assert np.array_equal(numbers.from_float(format, np.nextafter(middles, 0)), finite[:-1])
    assert np.array_equal(numbers.from_float(format, np.nextafter(middles, 1e9)), finite[1:])


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)
def test_sums_are_exact(format):
    rng = np.random.default_rng(2)
    finite = codes(format)[numbers.is_finite(format, codes(format))]
    x, w = rng.choice(finite, (4, 50)), rng.choice(finite, (50, 3))
    got = dot.exact_matmul(format, x, w)
    a, b = numbers.to_float(format, x), numbers.to_float(format, w)
    for i, j in np.ndindex(4, 3):
        exact = sum(Fraction(p) * Fraction(q) for p, q in zip(a[i], b[:, j], strict=True))
        assert Fraction(got[i, j]) * Fraction(2) ** format.product_unit_log2 == exact
        assert float(exact) == math.fsum(p * q for p, q in zip(a[i], b[:, j], strict=True))


@pytest.mark.parametrize("output", [OutputFormat.FP32, OutputFormat.FP16])
def test_one_rounding_agrees_with_numpy(output):
    rng = np.random.default_rng(3)
    wide, kind = (np.uint32, np.float32) if output is OutputFormat.FP32 else (np.uint16, np.float16)
    for _ in range(4000):
        integer = int(rng.integers(-(2**53), 2**53)) >> int(rng.integers(0, 53))
        exponent = int(rng.integers(-200, 110))
        raw, over = epilogue.encode_float(integer, exponent, output)
        with np.errstate(over="ignore"):
            expected = kind(math.ldexp(integer, exponent))
        assert raw == int(expected.view(wide)), (integer, exponent)
        assert over == bool(np.isinf(expected))


def test_int8_outputs_round_half_to_even_and_saturate():
    done = epilogue.finish([1, 3, 5, -1, -3, 255, 300, -300], 0, 1, -1, False, OutputFormat.INT8)
    assert done.raw.view(np.int8).tolist() == [0, 2, 2, 0, -2, 127, 127, -128]
    assert done.saturated
    plain = epilogue.finish([-6, 6], 0, 1, 0, True, OutputFormat.INT8)
    assert plain.raw.view(np.int8).tolist() == [0, 6] and not plain.saturated


def test_sums_do_not_depend_on_order_but_float32_ones_do():
    rng = np.random.default_rng(4)
    x = numbers.from_float(FP16, rng.standard_normal((1, 2000)) * 100)
    w = numbers.from_float(FP16, rng.standard_normal((2000, 1)) * 100)
    order = rng.permutation(2000)
    assert dot.exact_matmul(FP16, x, w) == dot.exact_matmul(FP16, x[:, order], w[order])
    assert dot.fp32_matmul(FP16, x, w) != dot.fp32_matmul(FP16, x[:, order], w[order])


def test_integers_saturate_when_rounded():
    assert numbers.from_float(INT8, np.array([1e9, -1e9, 2.5])).tolist() == [127, 128, 2]
