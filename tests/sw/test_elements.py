"""What a number is: every type of array, by its values; bits only if they are called so."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

import heddle
from heddle.hw.config import Config, preset
from heddle.hw.formats import E4M3, E5M2, FORMATS, FP16, INT4, INT8
from heddle.sim.golden import numbers
from heddle.sim.golden.device import ModelTransport
from heddle.sw.compiler.elements import Raw, to_raw
from heddle.sw.errors import FormatError
from heddle.sw.host.device import Device


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u8", "i8", "f2", "f4", "f8", "g"])
@pytest.mark.parametrize("format", [INT8, FP16, E4M3, E5M2], ids=lambda f: f.name)
def test_one_is_one_whatever_its_type(format, dtype):
    one = {"int8": 1, "fp16": 0x3C00, "e4m3": 0x38, "e5m2": 0x3C}[format.name]
    assert to_raw(np.array([[1, 0]], dtype), format).tolist() == [[one, 0]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.uint8(200), "200 at"),
        (np.int16(300), "300 at"),
        (np.int64(-129), "-129 at"),
        (np.uint64(2**64 - 1), "18446744073709551615 at"),
        (-(2**63), "at"),
        (128.0, "128.0 at"),
        (1e300, r"1e\+300 at"),
    ],
)
def test_what_int8_does_not_hold_is_refused(value, words):
    x = np.zeros((2, 3), np.array(value).dtype)
    x[1, 2] = value
    with pytest.raises(
        FormatError, match=rf"weights: .*{words}.* \[1, 2\].* beyond int8 \(-128 to"
    ):
        heddle.pack(x, "int8")


@pytest.mark.parametrize("format, lowest, highest", [(INT8, -128, 127), (INT4, -8, 7)])
def test_the_ends_of_integers_are_elements(format, lowest, highest):
    raw = to_raw(np.array([lowest, highest]), format)
    assert numbers.to_float(format, raw).tolist() == [lowest, highest]
    for beyond in (lowest - 1, highest + 1):
        with pytest.raises(FormatError, match=f"beyond {format.name}"):
            to_raw(np.array([beyond]), format)


def test_fractions_are_no_elements_of_int8():
    w = np.random.default_rng(1).uniform(-1, 1, (384, 384))
    told = r"at \[0, 0\] \(the first of 147,456 such of 147,456\) is a fraction.*column"
    with pytest.raises(FormatError, match=told):
        heddle.pack(w, "int8")
    held = heddle.to_dense(heddle.pack(w, "int8", scale="column"))
    assert np.abs(held - w).max() <= 0.5 / 127 + 1e-12
    assert heddle.pack(np.rint(w), "int8").shape == (384, 384)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("format", FORMATS)
def test_no_format_takes_what_is_not_finite(format, value):
    with pytest.raises(FormatError, match=rf"{value} at \[0, 0\].* is not a finite {format}"):
        heddle.pack(np.full((8, 1), value), format)


def test_a_product_of_unsigned_numbers():
    """Of 0, 100, 200 and 255 as int8's bits the sum would be 43."""
    w = np.ones((4, 1))
    with Device(ModelTransport(preset("tiny"))) as device:
        with pytest.raises(
            FormatError, match=r"activations: 200 at \[0, 2\] \(the first of 2 such"
        ):
            device.matmul(np.array([[0, 100, 200, 255]], "u1"), w)
        y, _ = device.matmul(np.array([[0, 100, 20, 127]], "u1"), w)
        assert y.tolist() == [[247.0]]
        y, _ = device.matmul(Raw(np.array([[0, 100, 200, 255]], "u1")), w)
        assert y.tolist() == [[43.0]]
    with Device(ModelTransport(preset("small"))) as device:
        y, _ = device.matmul(np.array([[0, 100, 200, 255]], "u1"), w)
        assert y.tolist() == [[555.0]]


def test_raw_elements_are_of_their_formats_width_and_finite():
    assert heddle.to_dense(heddle.pack(Raw(np.array([[0x3C00]], "u2")), "fp16")).tolist() == [[1.0]]
    assert heddle.to_dense(heddle.pack(Raw(np.array([[0xC8]], "u1")), "int8")).tolist() == [[-56.0]]
    for bits, words in (
        (np.array([[1]], "u1"), "raw elements of fp16 are uint16, not uint8"),
        (np.array([[1.0]]), "not float64"),
        (np.array([[0x7C00]], "u2"), "31744 at .* not a finite fp16"),
    ):
        with pytest.raises(FormatError, match=words):
            heddle.pack(Raw(bits), "fp16")
    with pytest.raises(FormatError, match="raw elements cannot be scaled"):
        heddle.pack(Raw(np.array([[1]], "u2")), "fp16", scale="column")


class Tensor:
    """What a tensor of PyTorch does, as far as it concerns an array of it."""

    def __init__(self, array, *, narrow=False, grad=False, sparse=False, away=False):
        self.array, self.narrow, self.grad, self.away = array, narrow, grad, away
        self.layout = "torch.sparse_coo" if sparse else "torch.strided"

    def _like(self, **changes):
        sparse = "sparse" in self.layout
        now = {"narrow": self.narrow, "grad": self.grad, "sparse": sparse, "away": self.away}
        return Tensor(self.array, **now | changes)

    def detach(self):
        return self._like(grad=False)

    def to_dense(self):
        assert "sparse" in self.layout
        return self._like(sparse=False)

    def cpu(self):
        return self._like(away=False)

    def float(self):
        return self._like(narrow=False)

    def numpy(self):
        if self.grad or self.away or "sparse" in self.layout:
            raise RuntimeError("can't convert this tensor")
        if self.narrow:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array

    def __array__(self, *_, **__):
        return self.numpy()


KINDS = [
    {},
    {"narrow": True},
    {"grad": True},
    {"sparse": True},
    {"away": True},
    {"narrow": True, "grad": True, "sparse": True, "away": True},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "+".join(k) or "plain")
def test_tensors_of_every_kind(kind):
    loaded = "torch" in sys.modules  # by another test, where there is one
    x, w, bias = (np.array(v, "f4") for v in ([[1, 2, 0]], [[3], [0], [5]], [0.5]))
    with Device(ModelTransport(preset("small"))) as device:
        packed = heddle.pack(heddle.prune(Tensor(w, **kind), 2, 8), "fp16")
        y, _ = device.matmul(Tensor(x, **kind), packed, bias=Tensor(bias, **kind))
        assert y.tolist() == [[3.5]]
        y, _ = device.matmul(Tensor(x, **kind), Tensor(w, **kind), scale=Tensor(bias, **kind))
        assert y.tolist() == [[1.5]]
    assert ("torch" in sys.modules) is loaded


def test_torch_itself():
    torch = pytest.importorskip("torch")
    w = torch.tensor([[3.0], [0], [5]])
    for tensor in (
        w,
        w.bfloat16(),
        w.half(),
        w.int(),
        w.clone().requires_grad_(),
        w.to_sparse(),
        w.to_sparse_csr(),
        w.bfloat16().to_sparse().requires_grad_(),
        w.to(torch.float8_e4m3fn),
    ):
        assert heddle.to_dense(heddle.pack(tensor, "fp16")).tolist() == [[3.0], [0.0], [5.0]]
    with pytest.raises(FormatError, match="cannot be read as numbers"):
        heddle.pack(w.to("meta"), "fp16")


def test_sparse_matrices_of_scipy():
    w = scipy.sparse.csr_matrix(np.array([[3.0], [0], [5]]))
    assert heddle.to_dense(heddle.pack(w, "fp16")).tolist() == [[3.0], [0.0], [5.0]]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 4), complex), "real numbers, not complex128"),
        (np.full((4, 4), "1"), "real numbers, not <U1"),
        (np.zeros((4, 4), "V2"), "real numbers, not "),
        (np.zeros((4, 4), [("a", "f4")]), "real numbers, not "),
        (np.zeros((4, 4), "M8[s]"), "real numbers, not datetime64"),
        (np.array([[1, None]]), "real numbers, not object"),
        (np.ones((4, 4), bool), "real numbers, not bool"),
        ([[1, 2], [3]], "cannot be read as numbers"),
        (np.ma.array([[1.0, 2.0]], mask=[[0, 1]]), "masked elements"),
        (Tensor(None, narrow=True), "real numbers, not object"),
        (SimpleNamespace(detach=lambda: None), "cannot be read as numbers .* NumPy array"),
    ],
)
def test_what_is_no_numbers_is_refused(values, words):
    for use in (heddle.pack, lambda v: heddle.prune(v, 2, 8), heddle.quantise):
        with pytest.raises(FormatError, match=words):
            use(values)
    with Device(ModelTransport(Config("c", 2, 2, FP16))) as device:
        with pytest.raises(FormatError, match=words):
            device.matmul(np.ones((1, 4)), np.ones((4, 4)), bias=values)


def test_formats_by_name():
    assert heddle.pack(np.ones((1, 1)), "FP16").format is FP16
    for wrong in ("fp12", 3, None):
        with pytest.raises(FormatError, match="no format .*; there are int8, fp16, e4m3, e5m2, "):
            heddle.pack(np.ones((1, 1)), wrong)
