"""Files of packed weights: what was saved comes back, whatever else is refused.

Files are also written here by hand, as docs/format.md says, with a checksum that is right.
"""

import hashlib
import json
import os
import struct
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from heddle.hw.formats import FORMATS, FP16, INT4, INT8, Format
from heddle.sw.compiler import nm, packing
from heddle.sw.errors import DataError, FormatError, HeddleError
from heddle.sw.nn import container

GOOD = {
    "format": FP16,
    "group": 8,
    "pattern": (2, 4),
    "shape": (12, 2),
    "counts": np.array([[2, 0], [1, 2]], np.uint8),
    "values": np.array([1, 2, 3, 4, 5], np.uint16),
    "indices": np.array([3, 7, 3, 0, 1], np.uint8),
}
"""Fields of small packed weights: a group of which 4 of 8 places are in the matrix is the last."""


def write(path, matrices, arrays=None, notes=None, **changes):
    """A file by hand: `matrices` are fields as in `GOOD`, with `format` a name."""
    described, tensors = {}, {}
    for name, fields in matrices.items():
        parts = ("counts", "values", "indices")
        described[name] = {k: v for k, v in fields.items() if k not in parts}
        tensors |= {f"{name}.{part}": np.asarray(fields[part]) for part in parts}
    tensors |= {f"array.{name}": array for name, array in (arrays or {}).items()}
    header = json.dumps({"matrices": described, "notes": notes or {}})
    if "header" in changes:
        header = changes["header"]
    digest = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode() + tensor.tobytes())
    metadata = {"kind": "heddle.packed", "version": "1", "header": header}
    save_file(tensors, path, metadata | {"checksum": digest.hexdigest()} | changes)


def edit(path, change):
    """Change the safetensors header (a dictionary) of a file, and leave the rest as it is."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.fixture
def saved(path):
    dense = nm.prune(np.random.default_rng(1).standard_normal((30, 5)), 2, 8)
    container.save(path, {"w": packing.pack(dense, FP16, 2, 8)}, {"b": np.arange(5.0)}, {"a": 1})
    return path, dense


def test_a_file_gives_back_what_was_saved(saved):
    path, dense = saved
    matrices, arrays, notes = container.load(path)
    assert np.array_equal(packing.to_dense(matrices["w"]), dense.astype(np.float16))
    assert arrays["b"].tolist() == [0, 1, 2, 3, 4] and notes == {"a": 1}


def test_a_file_written_by_hand_is_read(path):
    write(path, {"w": GOOD | {"format": "fp16"}}, {"b": np.array([7, 8], np.int16)}, {"a": [1]})
    matrices, arrays, notes = container.load(path)
    dense = np.zeros((12, 2), np.uint16)
    dense[3, 0], dense[7, 0], dense[11, 0], dense[8, 1], dense[9, 1] = 1, 2, 3, 4, 5
    assert np.array_equal(matrices["w"].unpack(), dense)
    assert arrays["b"].tolist() == [7, 8] and notes == {"a": [1]}


def test_the_checksum_is_over_header_names_types_shapes_and_bytes(path):
    counts, values, indices = np.uint8([[1]]), np.uint16([0x3C00]), np.uint8([0])
    packed = packing.PackedWeights(FP16, 8, None, (1, 1), counts, values, indices)
    container.save(path, {"w": packed}, {"b": np.array([2.0], np.float32)})
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    metadata = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    content = (
        b'{"matrices": {"w": {"format": "fp16", "group": 8, "pattern": null, "shape": [1, 1]}}, '
        b'"notes": {}}'
        b"array.b <f4 (1,)\x00\x00\x00\x40"
        b"w.counts |u1 (1, 1)\x01w.indices |u1 (1,)\x00w.values <u2 (1,)\x00\x3c"
    )
    assert metadata["checksum"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("array.b", {"dtype": "I64"}),
        ("array.b", {"shape": [5, 1]}),
        ("w.values", {"dtype": "F16"}),
        ("w.counts", {"shape": [5, 4]}),
    ],
)
def test_a_type_or_shape_that_was_changed_is_damage(saved, tensor, change):
    path, _ = saved
    edit(path, lambda header: header[tensor].update(change))
    with pytest.raises(FormatError, match="is damaged: its checksum is wrong"):
        container.load(path)


def test_a_name_that_was_changed_is_damage(saved):
    path, _ = saved
    edit(path, lambda header: header.update({"array.c": header.pop("array.b")}))
    with pytest.raises(FormatError, match="is damaged: its checksum is wrong"):
        container.load(path)


def test_every_flipped_bit_and_every_cut_is_caught(saved):
    path, _ = saved
    whole = path.read_bytes()
    original = container.load(path)
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            reread = container.load(path)
        except FormatError:
            continue
        # Only the padding of the header may change without a trace in what is read.
        assert np.array_equal(reread[0]["w"].values, original[0]["w"].values)
        assert reread[2] == original[2]
    for length in rng.integers(0, len(whole) - 1, 40):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            container.load(path)


WRONG = {
    "a format there is not": ({"format": "fp12"}, "fp12"),
    "a format that is no name": ({"format": []}, "list"),
    "no group": ({"group": 0}, "group is 4, 8 or 16, not 0"),
    "a group no device has": ({"group": 4_000_000_000}, "group is 4, 8 or 16, not 4000000000"),
    "a group in words": ({"group": "8"}, "group: '8' is no whole number"),
    "a group that is true": ({"group": True}, "group: True is no whole number"),
    "a shape of rank 1": ({"shape": [12]}, "shape must be two whole numbers"),
    "a shape that is none": ({"shape": 12}, "shape must be two whole numbers"),
    "a shape below zero": ({"shape": [12, -2]}, "each at least 1"),
    "a shape without rows": ({"shape": [0, 2]}, "each at least 1"),
    "a shape of fractions": ({"shape": [12.0, 2]}, "12.0 is no whole number"),
    "a shape too large": ({"shape": [10**18, 2]}, "counts must be uint8 of shape"),
    "a shape too small": ({"shape": [8, 2]}, "counts must be uint8 of shape"),
    "a pattern of nothing": ({"pattern": []}, "pattern must be two whole numbers"),
    "half a pattern": ({"pattern": [2]}, "pattern must be two whole numbers"),
    "a pattern in words": ({"pattern": "28"}, "pattern must be two whole numbers"),
    "a pattern of fractions": ({"pattern": [2.0, 4]}, "2.0 is no whole number"),
    "2 of 0": ({"pattern": [2, 0]}, "0 <= N <= M"),
    "2 of 3": ({"pattern": [2, 3]}, "M dividing 8"),
    "5 of 4": ({"pattern": [5, 4]}, "0 <= N <= M"),
    "less than is kept": ({"pattern": [1, 4]}, "more than 1 of 4 are kept in group 1 of column 1"),
    "nothing kept": ({"pattern": [0, 4]}, "more than 0 of 4 are kept in group 0 of column 0"),
    "all kept": ({"pattern": [4, 4]}, "4:4 keeps every element; some are missing"),
    "a place twice": ({"indices": np.uint8([3, 3, 3, 0, 1])}, "ascend.*group 0 of column 0"),
    "places descending": ({"indices": np.uint8([3, 7, 3, 1, 0])}, "ascend.*group 1 of column 1"),
    "a place beyond the group": ({"indices": np.uint8([3, 8, 3, 0, 1])}, "no place 8"),
    "a place beyond K": ({"indices": np.uint8([3, 7, 4, 0, 1])}, "4 of 8 places.*is at 4"),
    "indices of int64": ({"indices": np.int64([3, 7, 3, 0, 1])}, "indices must be uint8"),
    "indices of rank 2": ({"indices": np.uint8([[3, 7, 3, 0, 1]])}, "indices must be uint8"),
    "an index missing": ({"indices": np.uint8([3, 7, 3, 0])}, "indices must be uint8"),
    "a value missing": ({"values": np.uint16([1, 2, 3, 4])}, "values must be uint16"),
    "values of 8 bits": ({"values": np.uint8([1, 2, 3, 4, 5])}, "values must be uint16"),
    "signed values": ({"values": np.int16([1, 2, 3, 4, 5])}, "values must be uint16"),
    "an infinity": ({"values": np.uint16([1, 2, 0x7C00, 4, 5])}, "number 2 is not a finite fp16"),
    "a NaN": ({"values": np.uint16([1, 2, 3, 4, 0xFE01])}, "number 4 is not a finite fp16"),
    "signed counts": ({"counts": np.int8([[2, 0], [1, 2]])}, "counts must be uint8"),
    "counts of rank 1": ({"counts": np.uint8([2, 0, 1, 2])}, "counts must be uint8"),
    "too high a count": ({"counts": np.uint8([[9, 0], [1, 2]])}, "9 are kept in a group of 8"),
    "3 of 4 in one part": (
        {"indices": np.uint8([0, 1, 2, 1, 3]), "counts": np.uint8([[3, 0], [0, 2]])},
        "more than 2 of 4 are kept in group 0 of column 0",
    ),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_packed_matrix_is_refused_whatever_its_checksum(path, change, words):
    write(path, {"w": GOOD | {"format": "fp16"} | change})
    with pytest.raises(FormatError, match=f"matrix 'w' cannot be used: .*{words}"):
        container.load(path)


@pytest.mark.parametrize(("change", "words"), list(WRONG.values())[2:], ids=list(WRONG)[2:])
def test_what_is_no_packed_matrix_is_not_made_by_hand(change, words):
    with pytest.raises(FormatError, match=words):
        packing.PackedWeights(**GOOD | change)


@pytest.mark.parametrize("format", [INT4, Format("fp4", 2, 1), Format("fp6", 3, 2)])
def test_a_code_wider_than_the_format_is_refused(format):
    values = np.uint8([1, 2, 3, 4, 1 << format.code_bits - 1])
    assert packing.PackedWeights(**GOOD | {"format": format, "values": values}).format == format
    for wide in (1 << format.code_bits, 200):
        values[0] = wide
        with pytest.raises(FormatError, match=f"{wide:#x} has more bits than a {format.name}"):
            packing.PackedWeights(**GOOD | {"format": format, "values": values})


def test_packed_weights_by_hand_are_taken_as_they_are():
    packed = packing.PackedWeights(**GOOD)
    same = replace(
        packed,
        group=np.int64(8),
        pattern=[np.int32(2), 4],
        shape=[12, 2],
        values=GOOD["values"].astype(">u2"),
        counts=np.asfortranarray(GOOD["counts"]),
        indices=np.repeat(GOOD["indices"], 2)[::2],
    )
    assert (same.group, same.pattern, same.shape) == (8, (2, 4), (12, 2))
    assert np.array_equal(same.unpack(), packed.unpack())
    assert same.values.dtype.isnative and same.values.tobytes() == packed.values.tobytes()
    with pytest.raises(FormatError, match="must be a NumPy array, not list"):
        replace(packed, values=[1, 2, 3, 4, 5])
    with pytest.raises(FormatError, match="one of heddle.hw.formats"):
        replace(packed, format="fp16")
    with pytest.raises(ValueError, match="read-only"):
        packed.values[0] = 0


@pytest.mark.parametrize("group", [8, 16])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pattern", [(0, 8), (2, 8), (4, 4), (1, 1), None])
def test_all_that_is_packed_can_be_saved(path, format, pattern, group):
    n, m = pattern or (None, 8)
    dense = np.random.default_rng(1).integers(-3, 4, (21, 3)).astype(float)
    dense = nm.prune(dense, n, m) if pattern else dense
    container.save(path, {"w": packing.pack(dense, format, n, m, group)})
    assert np.array_equal(packing.to_dense(container.load(path)[0]["w"]), dense)


@pytest.mark.parametrize(
    "header",
    [
        '{"matrices": 3, "notes": {}}',
        '{"matrices": {}, "notes": [1]}',
        '{"matrices": {}, "notes": null}',
        '{"matrices": {}}',
        "[]",
        "{",
        "",
        "[" * 100_000,
        '{"matrices": {}, "notes": {"a": ' + "1" * 5000 + "}}",
    ],
)
def test_a_wrong_header_is_refused_whatever_its_checksum(path, header):
    write(path, {}, {"b": np.zeros(1)}, header=header)
    with pytest.raises(FormatError, match="the header is written wrongly"):
        container.load(path)


@pytest.mark.parametrize("entry", ["[]", "3", '"w"', "null", "{}"])
def test_a_matrix_that_is_not_described_is_refused(path, entry):
    write(path, {}, {"b": np.zeros(1)}, header=f'{{"matrices": {{"w": {entry}}}, "notes": {{}}}}')
    with pytest.raises(FormatError, match="matrix 'w' cannot be used"):
        container.load(path)


@pytest.mark.parametrize("type", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "BF16", "C64"])
def test_types_that_numpy_lacks_are_no_traceback(saved, type):
    """Another program may have written them; the sizes here are made to fit."""
    path, _ = saved
    width = {"BF16": 2, "C64": 8}.get(type, 1)
    edit(path, lambda header: header["array.b"].update(dtype=type, shape=[40 // width]))
    with pytest.raises(FormatError, match="cannot be read|checksum is wrong"):
        container.load(path)


def test_other_files_and_versions_are_named(saved, tmp_path):
    path, _ = saved
    with pytest.raises(FormatError, match="no file"):
        container.load(tmp_path / "nothing")
    with pytest.raises(FormatError, match="is a folder"):
        container.load(tmp_path)
    write(path, {}, {"b": np.zeros(1)}, version="2")
    with pytest.raises(FormatError, match="is of version '2', this release reads version 1"):
        container.load(path)
    save_file({"x": np.zeros(3)}, str(path))
    with pytest.raises(FormatError, match="no packed weights"):
        container.load(path)
    for data in (b"", b"\xff" * 30, struct.pack("<Q", 3000) + b"[" * 3000):
        path.write_bytes(data)
        with pytest.raises(FormatError, match="truncated or no safetensors file"):
            container.load(path)


@pytest.mark.parametrize("name", ["array", "array.", "array.x", "array.b.counts"])
def test_a_matrix_is_not_called_as_arrays_are(path, name):
    packed = packing.PackedWeights(**GOOD)
    with pytest.raises(FormatError, match=f"a matrix cannot be called {name!r}"):
        container.save(path, {name: packed})
    assert not path.exists()
    write(path, {name: GOOD | {"format": "fp16"}})
    with pytest.raises(FormatError, match=f"a matrix cannot be called {name!r}"):
        container.load(path)


@pytest.mark.parametrize("name", ["", "a\x1b[31m", "a\nb", "a\0", "\x7f", "\u202e", "a\ud800", 3])
def test_names_are_printable(path, name):
    packed = packing.PackedWeights(**GOOD)
    for matrices, arrays in (({name: packed}, {}), ({}, {name: np.zeros(1)})):
        with pytest.raises(FormatError, match="printable"):
            container.save(path, matrices, arrays)
        assert not path.exists()
        if isinstance(name, str) and "\ud800" not in name:
            write(path, {n: GOOD | {"format": "fp16"} for n in matrices}, arrays)
            with pytest.raises(FormatError, match="printable"):
                container.load(path)
            path.unlink()


def test_any_printable_name_will_do(path):
    names = ["[/x]", "a.values", "a", "a.b.c", "arrays", ".", "Gewicht é 重", "__metadata__"]
    packed = {name: packing.pack(np.full((1, 1), i + 1.0), FP16) for i, name in enumerate(names)}
    container.save(path, packed, {name: np.float32(i) for i, name in enumerate([*names, "array"])})
    matrices, arrays, _ = container.load(path)
    assert {n: float(packing.to_dense(m)[0, 0]) for n, m in matrices.items()} == {
        name: i + 1.0 for i, name in enumerate(names)
    }
    assert arrays == {name: i for i, name in enumerate([*names, "array"])}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f4"),
        np.arange(6, dtype=">i8").reshape(2, 3),
        np.arange(12.0)[::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0).reshape(2, 3).T,
        np.broadcast_to(np.float16(3), (2, 2)),
        np.array(2.5),
        np.float32(2.5),
        np.zeros((0, 3)),
        np.array([True, False]),
        [1, 2],
    ],
    ids=str,
)
def test_arrays_of_any_order_and_rank_come_back(path, array):
    container.save(path, {}, {"b": array})
    back = container.load(path)[1]["b"]
    assert back.shape == np.shape(array) and np.array_equal(back, array)
    assert back.dtype == np.asarray(array).dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "array",
    [np.zeros(2, complex), np.array(["a"]), np.array([None]), np.zeros(2, "M8[s]"),
     np.zeros(2, np.longdouble), np.zeros(2, [("a", "u1")])],
    ids=lambda array: str(array.dtype),
)  # fmt: skip
def test_arrays_that_a_file_cannot_hold_are_refused(path, array):
    with pytest.raises(FormatError, match="array 'b': a file holds no"):
        container.save(path, {}, {"b": array})
    assert not path.exists()


def test_notes_may_be_numpys(path):
    notes = {
        "whole": np.int64(3),
        "real": np.float32(0.5),
        "truth": np.bool_(True),
        "array": np.arange(4, dtype=np.uint8).reshape(2, 2),
        "zero": np.array(1.5),
        "list": [np.int8(-1), (2, np.float64(0.25))],
    }
    container.save(path, {}, {"b": np.zeros(1)}, notes)
    assert container.load(path)[2] == {
        "whole": 3,
        "real": 0.5,
        "truth": True,
        "array": [[0, 1], [2, 3]],
        "zero": 1.5,
        "list": [-1, [2, 0.25]],
    }


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "notes",
    [
        {"a": {1, 2}},
        {"a": b"x"},
        {"a": np.complex64(1)},
        {"a": np.longdouble(1)},
        {("a",): 1},
        {"a": 1, 2: 3},
        {"a": nested(100_000)},
        [1],
        "text",
    ],
    ids=lambda notes: repr(notes)[:20] if not isinstance(notes, dict) or "a" not in notes else "",
)
def test_notes_that_are_not_json_are_refused(path, notes):
    with pytest.raises(FormatError, match="notes of a file must be a JSON object"):
        container.save(path, {}, {}, notes)
    assert not path.exists()


def test_damage_with_a_right_checksum_is_refused_or_consistent(path):
    """Fields and parts changed at random: an error, or weights that unpack to their shape."""
    rng = np.random.default_rng(3)
    odd = [0, 1, -1, 2, 3, 8, 16, 255, 2**31, 2**64, 1.5, None, True, "8", [], {}, [8], [2, 8], "x"]
    accepted = 0
    for _ in range(400):
        fields = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in GOOD.items()}
        fields["format"] = "fp16"
        for name in rng.choice(list(fields), rng.integers(1, 3), replace=False):
            if isinstance(part := fields[name], np.ndarray):
                part.flat[rng.integers(part.size)] = rng.integers(12)
            else:
                fields[name] = odd[rng.integers(len(odd))]
        write(path, {"w": fields})
        try:
            packed = container.load(path)[0]["w"]
        except HeddleError:
            continue
        accepted += 1
        dense = packed.unpack()
        assert dense.shape == tuple(fields["shape"])
        assert np.count_nonzero(dense) == np.count_nonzero(fields["values"])
    assert accepted > 10


def test_a_file_that_cannot_be_written_is_said_and_the_old_one_stays(saved, monkeypatch):
    path, _ = saved
    whole = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(DataError, match="cannot write .*weights.safetensors: No space"):
        container.save(path, {"w": packing.pack(np.ones((8, 1)), INT8)})
    assert path.read_bytes() == whole and os.listdir(path.parent) == [path.name]
