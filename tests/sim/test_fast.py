"""Products at float64's speed against integers: every bit and flag, where sums lie at boundaries of
rounding and where magnitudes cancel too."""

import numpy as np
import pytest

from heddle.hw.formats import FORMATS, FP16, INT8, ROUNDED, OutputFormat
from heddle.sim.golden import dot, epilogue, fast, numbers

KINDS = ("any", "smallest", "few values", "cancelling")


def elements(format, rng, kind, shape):
    """Raw finite elements: of all, of the smallest magnitudes, or of some whose products tie."""
    codes = np.arange(1 << format.bits).astype(numbers.raw_dtype(format))
    codes = codes[numbers.is_finite(format, codes)]
    values = np.abs(numbers.to_float(format, codes))
    if kind == "smallest":
        codes = codes[values <= 8 * values[values > 0].min()]
    if kind == "few values":
        codes = codes[np.isin(values, [0, 0.5, 1, 2, 3])]
    return rng.choice(codes, shape)


def operands(format, rng, kind):
    rows, inner, columns = rng.integers(1, 40, 3)
    x, w = (elements(format, rng, kind, s) for s in ((rows, inner), (inner, columns)))
    if kind == "cancelling":
        half = inner // 2
        x[:, half : 2 * half] = x[:, :half]
        mirrored = -numbers.to_float(format, w[:half])
        w[half : 2 * half] = numbers.from_float(format, mirrored, saturate=True)
    return x, w


def case(format, rng, kind):
    """Arguments of a product, and its exact sums."""
    x, w = operands(format, rng, kind)
    sums, columns = dot.exact_matmul(format, x, w), w.shape[1]
    addend, masked = None, rng.random(sums.shape) < 0.3 if rng.random() < 0.3 else False
    if rng.random() < 0.3:
        addend = elements(format, rng, "any", sums.shape)
        values = numbers.to_float(format, addend)
        sums = sums + np.vectorize(int, otypes=[object])(
            np.ldexp(values, -format.product_unit_log2)
        )
    bias = [int(v) << int(rng.integers(0, 55)) for v in rng.integers(-(2**40), 2**40, columns)]
    bias = bias if rng.random() < 0.5 else [0] * columns
    scale = [int(v) for v in rng.integers(0, 1 << 16, columns)]
    scale = scale if rng.random() < 0.5 else [1] * columns
    # Outputs in the middle of their range, and beyond both ends of it.
    size = max(abs(total) for total in sums.ravel()).bit_length()
    exponent = [int(v) - size for v in rng.integers(-40, 40, columns)]
    exponent = exponent if rng.random() < 0.5 else [format.product_unit_log2] * columns
    return sums, (x, w, bias, scale, exponent), addend, masked


def compare(format, rng, kind) -> int:
    """How many outputs were the same as those of integers: all, and the flags too."""
    sums, arguments, addend, masked = case(format, rng, kind)
    for output in ROUNDED:
        for relu in (False, True):
            want = epilogue.finish(sums, *arguments[2:], relu, output, masked)
            got = fast.rounded_matmul(format, *arguments, relu, output, addend, masked)
            assert got.raw.dtype == want.raw.dtype and (got.raw == want.raw).all()
            assert (got.overflow, got.saturated) == (want.overflow, want.saturated)
    return 2 * len(ROUNDED) * sums.size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)
def test_every_bit(format, kind):
    for seed in range(4):
        compare(format, np.random.default_rng(seed), kind)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)
def test_a_million_outputs(format):
    rng, seen = np.random.default_rng(5), 0
    while seen < 1_000_000:
        seen += compare(format, rng, KINDS[int(rng.integers(len(KINDS)))])


def half(*values) -> np.ndarray:
    return np.array(values, np.float16).view(np.uint16)


def test_a_tie_that_float64_does_not_see():
    """``2048 * 1 + 1 * 1`` lies between the halves 2048 and 2050, and 2**-48 more than that is
    above the middle; so is 2**-48 less below it, and float64 has no digit for either."""
    x = half(2048, 1, 2.0**-24)[None, :]
    for last, expected in ((0, 2048), (2.0**-24, 2050), (-(2.0**-24), 2048)):
        w = half(1, 1, last)[:, None]
        done = fast.rounded_matmul(FP16, x, w, [0], [1], [-48], False, OutputFormat.FP16)
        assert done.raw.view(np.float16) == expected
    # From 2050 it goes up to the even one, unless something is missing.
    x = half(2050, 1, 2.0**-24)[None, :]
    for last, expected in ((0, 2052), (-(2.0**-24), 2050)):
        w = half(1, 1, last)[:, None]
        done = fast.rounded_matmul(FP16, x, w, [0], [1], [-48], False, OutputFormat.FP16)
        assert done.raw.view(np.float16) == expected


def test_what_is_left_of_large_products():
    """65504**2 and its negative, and 2**-48: the sum is 2**-48, which FP32 holds."""
    x, w = half(65504, 65504, 2.0**-24)[None, :], half(65504, -65504, 2.0**-24)[:, None]
    done = fast.rounded_matmul(FP16, x, w, [0], [1], [-48], False, OutputFormat.FP32)
    assert done.raw.view(np.float32) == np.float32(2.0**-48)
    nothing = fast.rounded_matmul(FP16, x[:, :2], w[:2], [0], [1], [-48], False, OutputFormat.FP32)
    assert nothing.raw == 0  # not -0


def test_without_a_bound_a_tie_goes_wrong(monkeypatch):
    """Integers decide because of the bound: without one float64's sum is taken."""
    monkeypatch.setattr(fast, "WHOLE", np.inf)
    with pytest.raises(AssertionError):
        test_a_tie_that_float64_does_not_see()


def test_what_is_refused():
    x, w = half(np.inf)[None, :], half(1)[:, None]
    with pytest.raises(ValueError, match="infinity or NaN"):
        fast.rounded_matmul(FP16, x, w, [0], [1], [0], False, OutputFormat.FP16)
    one = np.ones((1, 1), np.uint8)
    with pytest.raises(ValueError, match="not rounded"):
        fast.rounded_matmul(INT8, one, one, [0], [1], [0], False, OutputFormat.RAW)
