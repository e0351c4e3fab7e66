"""The golden model against other arithmetic: fractions, fsum, NumPy's own conversions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from heddle.hw.config import Accumulation
from heddle.hw.formats import E4M3, E5M2, FORMATS, FP16, INT4, INT8, OutputFormat
from heddle.sim.golden import dot, epilogue, numbers
from heddle.sim.golden.accumulation import ARITHMETIC


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


@pytest.mark.parametrize(
    ("format", "tie", "at_the_tie", "below", "above"),
    [
        # Halfway from the largest element to what would be the next: to the even one of the two.
        (E4M3, 464.0, 0x7E, 0x7E, 0x7F),  # 448 is 1.110 · 2^8: even; what would be 480 is NaN
        (E5M2, 61440.0, 0x7C, 0x7B, 0x7C),  # 57344 is 1.11 · 2^15: odd; then comes infinity
        (FP16, 65520.0, 0x7C00, 0x7BFF, 0x7C00),  # 65504 is all ones: odd
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_a_tie_at_the_overflow(format, tie, at_the_tie, below, above):
    values = np.array([tie, np.nextafter(tie, 0), np.nextafter(tie, np.inf)])
    want = [at_the_tie, below, above]
    assert numbers.from_float(format, values).tolist() == want
    sign = 1 << (format.bits - 1)
    assert numbers.from_float(format, -values).tolist() == [code | sign for code in want]
    largest = {E4M3: 0x7E, E5M2: 0x7B, FP16: 0x7BFF}[format]
    assert numbers.from_float(format, values, saturate=True).tolist() == [largest] * 3


def test_int8_outputs_in_fractions():
    """Every exponent from far below to far above what INT8 holds."""
    integers = [0, 1, 3, 5, 85, 127, 128, 255, 4097, 2**31 - 1, 2**60 + 1]
    for exponent in [*range(-70, 41), 300, -(2**15), 2**15 - 1]:
        for integer in (sign * i for i in integers for sign in (1, -1)):
            done = epilogue.finish([integer], 0, 1, exponent, False, OutputFormat.INT8)
            exact = round(Fraction(integer) * Fraction(2) ** max(min(exponent, 300), -300))
            want = min(127, max(-128, exact))
            assert done.raw.view(np.int8).tolist() == [want], (integer, exponent)
            assert done.saturated == (want != exact) and not done.overflow


@pytest.mark.parametrize("relu", [False, True])
def test_an_epilogue_in_fractions(relu):
    """(sum + bias) · scale · 2^exponent, ReLU before the one rounding; signs as IEEE has them."""
    rng = np.random.default_rng(6)
    for _ in range(300):
        total, bias = (int(v) for v in rng.integers(-(2**40), 2**40, 2))
        scale, exponent = int(rng.integers(1 << 16)), int(rng.integers(-90, 20))
        exact = (total + bias) * scale * Fraction(2) ** exponent
        exact = max(exact, Fraction(0)) if relu else exact
        done = epilogue.finish([total], bias, scale, exponent, relu, OutputFormat.FP32)
        got = done.raw.view(np.float32)[0]
        around = [float(np.nextafter(got, np.float32(side))) for side in (-np.inf, np.inf)]
        error = abs(Fraction(float(got)) - exact)
        assert all(error <= abs(Fraction(f) - exact) for f in around)
        assert np.signbit(got) == (exact < 0)
        done = epilogue.finish([total], bias, scale, exponent, relu, OutputFormat.INT8)
        assert done.raw.view(np.int8)[0] == min(127, max(-128, round(exact)))


def test_sums_wrap_around_in_the_accumulators_width():
    exact, rounded = (ARITHMETIC[kind] for kind in (Accumulation.EXACT, Accumulation.FP32))
    sums = np.array([0, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 3 * 2**31 + 5], object)
    want = [0, 2**31 - 1, -(2**31), -(2**31), 2**31 - 1, -(2**31) + 5]
    assert exact.drained(sums, 32).tolist() == want
    want = [0, 2**31 - 1, 0, 0, -1, 5]
    assert rounded.drained(sums, 32).tolist() == want


@pytest.mark.parametrize("format", [INT8, INT4], ids=lambda format: format.name)
def test_integers_have_no_nan(format):
    with pytest.raises(ValueError, match=f"{format.name} has no NaN"):
        numbers.from_float(format, np.array([1.0, np.nan]))
