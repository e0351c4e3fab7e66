"""Side operands of programs, and exact sums in memory: against NumPy, fractions and integers."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from heddle.hw.formats import BF16, E4M3, E5M2, FORMATS, FP16, INT4, INT8, OutputFormat
from heddle.hw.isa.commands import Run, Side
from heddle.sw.compiler import bounds, packing
from heddle.sw.compiler.elements import to_raw
from heddle.sw.compiler.program import Builder
from heddle.sw.compiler.settings import settings_of
from heddle.sw.compiler.tensors import RawTensor
from heddle.sw.errors import FormatError
from heddle.sw.host import programs
from heddle.sw.host.device import Device

from ..sim.devices import LANES, PAGED

RAW = OutputFormat.RAW


class Case:
    """One program after the other on a device: tensors with what they hold, and products."""

    def __init__(self, device: Device, seed: int):
        self.device, self.config = device, device.config
        self.rng = np.random.default_rng(seed)
        self.builder = Builder(self.config)
        self.held: list[tuple] = []
        integer = self.config.format is INT8
        self.output = OutputFormat.INT8 if integer else OutputFormat.FP16
        self.dtype = "i1" if integer else "<f2"

    def tensor(self, values: np.ndarray):
        """With elements of the format."""
        tensor = self.builder.tensor(*values.shape)
        self.held.append((tensor, to_raw(values, self.config.format)))
        return tensor

    def raw(self, sums: np.ndarray) -> RawTensor:
        tensor = self.builder.raw(*sums.shape)
        self.held.append((tensor, sums))
        return tensor

    def product(self, x, w: np.ndarray, y, output=None, relu=False, scale=1.0, bias=None, **beside):
        weights = packing.pack(w, self.config.format)
        settings = settings_of(self.config, w.shape[1], bias, scale)
        self.builder.product(
            x, weights, settings, relu, self.output if output is None else output, y, **beside
        )

    def result(self, tensor) -> np.ndarray:
        device = self.device
        program = self.builder.program()
        programs.load(device, program)
        for each, values in self.held:
            device.write_memory(each.address, each.to_words(values))
        counters = programs.run(device, program)
        assert counters["errors"] == 0
        got = tensor.from_words(device.read_memory(tensor.address, tensor.words))
        return got if isinstance(tensor, RawTensor) else got.view(self.dtype)

    def integers(self, shape: tuple[int, int], most: int = 3) -> np.ndarray:
        return self.rng.integers(-most, most + 1, shape).astype(float)


@pytest.mark.parametrize("beside", ["addend", "mask", "both", "in place"])
@pytest.mark.parametrize("sizes", [(1, 8, 4), (9, 24, 10), (18, 40, 21)], ids=str)
def test_addend_and_mask(device, sizes, beside):
    """A residual branch, the backward of a ReLU, and both: small whole numbers, so it is exact."""
    rows, inner, outputs = sizes
    case = Case(device, outputs)
    x, w = case.integers((rows, inner)), case.integers((inner, outputs), 1)
    addend, mask = case.integers((rows, outputs), 30), case.integers((rows, outputs), 1)
    mask[mask == 0] *= -1  # zeros of either sign
    bias = case.integers((1, outputs))[0]
    left = case.tensor(x)
    exact, operands = x @ w + bias, {}
    if beside != "mask":
        operands["addend"] = case.tensor(addend)
        exact = exact + addend
    if beside in ("mask", "both"):
        operands["mask"] = case.tensor(mask)
        exact = np.where(mask == 0, 0, exact)
    in_place = beside == "in place"
    y = (
        operands["addend"]
        if in_place
        else case.builder.tensor(rows, outputs, 8 * case.output.bytes)
    )
    case.product(left, w, y, bias=bias, scale=0.5, **operands)
    got = case.result(y).astype(float)
    assert abs(exact * 0.5).max() < 127
    expected = np.rint(exact * 0.5) if case.config.format is INT8 else exact * 0.5
    assert (got == expected).all()
    # What is masked is +0, whatever was there.
    assert not np.signbit(got[mask == 0]).any() or "mask" not in operands
    assert not device.flags()


def test_what_is_masked_raises_no_flag(device):
    """The sums are far beyond the output's range, but only where the mask is zero."""
    case = Case(device, 3)
    x, w = np.full((5, 16), 100.0), np.full((16, 6), 100.0)
    mask = np.zeros((5, 6))
    y = case.builder.tensor(5, 6, 8 * case.output.bytes)
    case.product(case.tensor(x), w, y, scale=2.0**10, mask=case.tensor(mask))
    assert not case.result(y).any() and not device.flags()


def test_an_addend_that_is_not_finite(device):
    """It counts as zero, and raises the flag."""
    if not device.config.format.is_float:
        pytest.skip("every code is a number")
    case = Case(device, 4)
    x, w = case.integers((6, 8)), case.integers((8, 5))
    addend = np.zeros((6, 5))
    left, tensor = case.tensor(x), case.tensor(addend)
    raw = np.zeros((6, 5), np.uint16)
    raw[2, 3], raw[4, 4], raw[5, 0] = 0x7C00, 0xFE01, 0x3C00
    case.held[1] = tensor, raw
    y = case.builder.tensor(6, 5, 16)
    case.product(left, w, y, addend=tensor)
    addend[5, 0] = 1
    assert (case.result(y) == x @ w + addend).all()
    assert {flag.name for flag in device.flags()} == {"NONFINITE_ACTIVATION"}


def exact_sums(config, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """In units of the format's products, by fractions."""
    unit = {INT8: Fraction(1), FP16: Fraction(1, 2**48)}[config.format]
    made = [
        [
            sum(Fraction(a) * Fraction(b) for a, b in zip(r, c, strict=True)) / unit
            for c in w.T.tolist()
        ]
        for r in x.tolist()
    ]
    assert all(value.denominator == 1 for row in made for value in row)
    return np.array([[int(value) for value in row] for row in made], object)


def wild(case: Case, shape: tuple[int, int]) -> np.ndarray:
    """Numbers of all magnitudes that the format has."""
    if case.config.format is INT8:
        return case.rng.integers(-128, 128, shape).astype(float)
    scaled = case.rng.normal(size=shape) * 2.0 ** case.rng.integers(-24, 15, shape)
    return scaled.astype(np.float16).astype(float)


@pytest.mark.parametrize("sizes", [(3, 20, 5), (9, 16, 11)], ids=str)
def test_a_reduction_by_raw_sums(device, sizes):
    """Three parts of K, each a product that begins with the sums of the one before; the last one
    rounds. The first begins with sums that are far beyond the accumulator, and cancel."""
    rows, inner, outputs = sizes
    case, config = Case(device, rows), device.config
    # Room for 2**32 sums of the accumulator's width.
    bits = {INT8: 62, FP16: 126}[config.format]
    begin = np.array(
        [[int(case.rng.integers(2)) * 2 - 1] * outputs for _ in range(rows)], object
    ) * ((1 << bits) - 12345)
    parts = [(wild(case, (rows, inner)), wild(case, (inner, outputs))) for _ in range(3)]
    sums = begin + sum(exact_sums(config, x, w) for x, w in parts)
    carried = case.raw(begin)
    for number, (x, w) in enumerate(parts):
        # In place, and to another tensor.
        to = case.builder.raw(rows, outputs) if number == 1 else carried
        case.product(case.tensor(x), w, to, output=RAW, addend=carried)
        carried = to
    got = case.result(carried)
    assert (got == sums).all()
    # And back to numbers: with what cancels it, rounded once.
    last = Case(device, 1)
    x, w = wild(last, (rows, inner)), wild(last, (inner, outputs))
    small = sums - begin
    y = last.builder.tensor(rows, outputs, 32)
    last.product(last.tensor(x), w, y, output=OutputFormat.FP32, addend=last.raw(small))
    total = small + exact_sums(config, x, w)
    unit = Fraction(1, 1 if config.format is INT8 else 2**48)
    expected = np.array([[float(int(v) * unit) for v in row] for row in total])
    last.dtype = "<f4"
    got = last.result(y)
    # Through float64, which is rounded twice: only where that is exact it must be equal.
    single = expected.astype(np.float32)
    certain = single.astype(float) == expected
    assert (got[certain] == single[certain]).all()
    assert np.allclose(got, expected, rtol=2.0**-23, atol=0)
    assert not device.flags()


def test_a_chain_waits_for_what_it_adds(config):
    """A RUN that adds RAW sums waits for the one that stored them."""
    builder = Builder(config)
    rng = np.random.default_rng(0)
    x = builder.tensor(4, 8)
    w = packing.pack(rng.choice([-1.0, 1.0], (8, 4)), config.format)
    settings = settings_of(config, 4)
    sums, more = builder.raw(4, 4), builder.raw(4, 4)
    builder.product(x, w, settings, False, RAW, sums)
    builder.product(x, w, settings, False, RAW, more, addend=sums)
    builder.product(x, w, settings, False, RAW, sums)
    runs = [c for c in builder.program().commands if isinstance(c, Run)]
    store = [run.waits >> 15 & 31 for run in runs]
    # The second for the first one; the third need not, since rows are stored in their order.
    assert store == [0, 1, 0]
    assert sum(isinstance(c, Side) for c in builder.program().commands) >= 2


def test_sums_in_words():
    """A RAW tensor's planes, written out by hand."""
    tensor = RawTensor(LANES, 0, 1, 2)
    # Four elements of 32 bits a group; a block of four rows is two windows of one word.
    assert (tensor.groups, tensor.plane, tensor.words, tensor.space) == (1, 2, 7, 8)
    sums = np.array([[1 + (2 << 32) + (3 << 64) + (4 << 96), -2]], object)
    words = tensor.to_words(sums)
    low = words[::2, :8].copy().view("<u4").tolist()
    assert low == [[1, 0xFFFFFFFE], [2, 0xFFFFFFFF], [3, 0xFFFFFFFF], [4, 0xFFFFFFFF]]
    assert not words[:, 8:].any() and not words[1::2].any()
    assert (tensor.from_words(words) == sums).all()
    with pytest.raises(FormatError, match="128 bits: some have more"):
        tensor.to_words(np.array([[1 << 127, 0]], object))


LARGEST = {INT8: 128, INT4: 8, FP16: 65504, E4M3: 448, E5M2: 57344, BF16: 2**12 - 2**4}
"""The largest magnitude of an element, by the formats' definitions."""
LAST_PLACE = {INT8: 0, INT4: 0, FP16: -24, E4M3: -9, E5M2: -16, BF16: -27}
"""log2 of what an element is a multiple of."""


@pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)
def test_no_raw_sum_wraps(format):
    """2**47 of the largest products fit into what a column's way out has, and into 128 bits."""
    config = replace(PAGED, format=format)
    product = Fraction(LARGEST[format]) ** 2 / Fraction(2) ** (2 * LAST_PLACE[format])
    assert product.denominator == 1
    assert bounds.MOST_RAW_TERMS == 2**47
    assert product * 2**47 < 2 ** (config.exact_bits - 1)
    assert config.exact_bits <= 128
    # An element that is added counts as a product, a bias as the accumulator's 2**15.
    element = Fraction(LARGEST[format]) / Fraction(2) ** (2 * LAST_PLACE[format])
    assert element <= product
    # A bias may be the accumulator's lowest number; so few more never make up for 2**15 products.
    assert 2 ** (config.accumulator_bits - 1) * 2**32 <= 2 ** (config.exact_bits - 1)


def test_more_than_fits_is_refused():
    weights = packing.pack(np.ones((8, 4)), FP16)
    assert bounds.terms_of(weights, False, 100) == 108
    assert bounds.terms_of(weights, True, 0) == 8 + 2**15
    assert bounds.terms_of(weights, False, 2**47 - 8) == 2**47
    with pytest.raises(FormatError, match="140,737,488,355,329 products might not fit"):
        bounds.terms_of(weights, False, 2**47 - 7)
    long = packing.pack(np.ones((2**15 + 1, 1)), INT8)
    with pytest.raises(FormatError, match="32,769 kept weights .* carry their sums as RAW"):
        bounds.terms_of(long, False, 0)


def test_what_cannot_be_added():
    builder = Builder(PAGED)
    x, y, sums = builder.tensor(8, 16), builder.tensor(8, 12), builder.raw(8, 12)
    weights = packing.pack(np.ones((16, 12)), INT8)
    settings = settings_of(PAGED, 12)

    def product(output, to, relu=False, **beside):
        builder.product(x, weights, settings, relu, output, to, **beside)

    integer = OutputFormat.INT8
    for output, to, more in (
        (RAW, y, {}),
        (integer, sums, {}),
        (RAW, sums, {"relu": True}),
        (RAW, sums, {"mask": y}),
    ):
        with pytest.raises(FormatError, match="exact sums .* without ReLU and mask"):
            product(output, to, **more)
    with pytest.raises(FormatError, match=r"the addend is \[8, 16\], and the output is \[8, 12\]"):
        product(integer, y, addend=x)
    with pytest.raises(FormatError, match="the addend has elements of 16 bits, not of 8"):
        product(integer, y, addend=builder.tensor(8, 12, 16))
    with pytest.raises(FormatError, match="the mask has elements of 32 bits, RAW, not of 8"):
        product(integer, y, mask=sums)
    across = replace(y, address=y.address + 1)
    with pytest.raises(FormatError, match="the mask and the output lie across each other"):
        product(integer, y, mask=across)
    product(integer, y, addend=sums, mask=y)
