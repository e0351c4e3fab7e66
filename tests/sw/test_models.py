"""Models in safetensors files: their matrices packed, whatever their type, and the rest said."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from heddle.sw.compiler import nm, packing
from heddle.sw.errors import FormatError
from heddle.sw.nn import container, models


def write(path, **tensors):
    """A safetensors file by hand: (type, shape, bytes) by name."""
    header, data = {}, b""
    for name, (type, shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": type, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


NUMBERS = [[1.5, -2.0], [0.0, 0.25], [-448.0, 6.0]]
TYPES = {
    "F64": struct.pack("<6d", *sum(NUMBERS, [])),
    "F32": struct.pack("<6f", *sum(NUMBERS, [])),
    "F16": struct.pack("<6e", *sum(NUMBERS, [])),
    # The upper halves of binary32: 1.5 is 0x3FC0_0000, ...
    "BF16": struct.pack("<6H", 0x3FC0, 0xC000, 0, 0x3E80, 0xC3E0, 0x40C0),
    "F8_E4M3": bytes([0x3C, 0xC0, 0, 0x28, 0xFE, 0x4C]),
}
"""`NUMBERS` in each type, by its standard."""


@pytest.mark.parametrize("type", TYPES)
def test_numbers_of_every_type_are_read_exactly(path, type):
    write(path, first=("U8", [3], b"abc"), w=(type, [3, 2], TYPES[type]), z=("U8", [1], b"z"))
    (outcome,) = models.pack_model(path, "fp16", tensor="w")
    assert packing.to_dense(outcome.packed).tolist() == NUMBERS
    assert (outcome.type, outcome.shape, outcome.rounding) == (type, (3, 2), models.Rounding(0, 0))
    (outcome,) = models.pack_model(path, "fp16", tensor="w", transpose=True)
    assert packing.to_dense(outcome.packed).T.tolist() == NUMBERS


def test_e5m2_and_integers_too(path):
    write(
        path,
        e5m2=("F8_E5M2", [1, 3], bytes([0x3E, 0xC0, 0x7B])),
        i8=("I8", [1, 3], struct.pack("3b", -128, 0, 5)),
        i64=("I64", [1, 2], struct.pack("<2q", 127, -3)),
        u8=("U8", [1, 2], bytes([0x7F, 3])),
    )
    wide, *integers = (
        next(models.pack_model(path, format, tensor=name)).packed
        for name, format in (("e5m2", "fp16"), ("i8", "int8"), ("i64", "int8"), ("u8", "int8"))
    )
    assert packing.to_dense(wide).tolist() == [[1.5, -2, 57344]]
    assert [packing.to_dense(p).tolist() for p in integers] == [
        [[-128, 0, 5]],
        [[127, -3]],
        [[127, 3]],
    ]


def test_every_matrix_is_packed_and_the_rest_is_said(path, tmp_path):
    rng = np.random.default_rng(1)
    sparse = nm.prune(rng.standard_normal((6, 16)), 2, 8, axis=1).astype(np.float32)
    save_file(
        {
            "fc1.weight": sparse,
            "fc1.bias": np.zeros(6, np.float32),
            "conv.weight": np.zeros((2, 2, 3, 3), np.float32),
            "dense.weight": np.ones((6, 16), np.float32),
            "infinite": np.array([[np.inf, 0]], np.float32),
            "truth": np.zeros((2, 2), bool),
            "empty": np.zeros((0, 2), np.float32),
            "array.x": np.zeros((2, 2), np.float32),
            "a\x1b[31m": np.zeros((2, 2), np.float32),
        },
        path,
    )
    outcomes = {o.name: o for o in models.pack_model(path, "fp16", 2, 8, transpose=True)}
    assert [name for name, o in outcomes.items() if o.packed] == ["fc1.weight"]
    packed = outcomes["fc1.weight"].packed
    assert packed.pattern == (2, 8) and packed.shape == (16, 6)
    assert np.array_equal(packing.to_dense(packed), sparse.T.astype(np.float16))
    for name, why in (
        ("fc1.bias", "of rank 1"),
        ("conv.weight", "of rank 4"),
        ("dense.weight", "not 2:8"),
        ("infinite", "inf at [0, 0]"),
        ("truth", "not bool"),
        ("empty", "not an array of shape"),
        ("array.x", "cannot be called 'array.x'"),
        ("a\x1b[31m", "printable"),
    ):
        assert why in outcomes[name].skipped, name
        with pytest.raises(FormatError, match="model.safetensors: tensor "):
            list(models.pack_model(path, "fp16", 2, 8, tensor=name, transpose=True))


def test_rounding_is_counted():
    dense = np.array([[1.0, 1e-9, 1 / 3, 0]])
    assert models.pack_matrix(dense, "fp16", None, 8)[1] == models.Rounding(changed=2, lost=1)
    assert models.pack_matrix(np.array([[3, -4]]), "int8", None, 8)[1] == models.Rounding(0, 0)


def test_what_is_wrong_for_all_is_said_once(path, tmp_path):
    save_file(
        {"w": np.ones((8, 2), np.float32), **{f"x{i:02}": np.zeros(1) for i in range(30)}}, path
    )
    packed = tmp_path / "packed.safetensors"
    container.save(packed, {"w": packing.pack(np.ones((8, 2)))})
    for file, options, words in (
        (path, {"format": "fp12"}, "no format 'fp12'"),
        (path, {"n": 2, "m": 3}, "M dividing 8"),
        (path, {"tensor": "v"}, "no tensor 'v'; it has 'w', 'x00', .* and 11 more"),
        (packed, {}, "is packed already; heddle unpack"),
        (tmp_path / "missing", {}, "there is no file"),
        (tmp_path, {}, "is a folder"),
    ):
        with pytest.raises(FormatError, match=words):
            list(models.pack_model(file, **{"format": "fp16"} | options))
