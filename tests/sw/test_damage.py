"""Damaged files that are read: always an error of Heddle's, never another, and no great memory.

Safetensors files are in `test_container` too.
"""

import gzip
import json
import struct
import tracemalloc
import warnings
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from safetensors.numpy import save as serialise

from heddle.hw.config import ConfigError
from heddle.sw.cli import configuration
from heddle.sw.errors import DataError, FormatError, HeddleError
from heddle.sw.flow import board_reports
from heddle.sw.lib import arrays
from heddle.sw.nn import container, data, models

MEMORY = 8 << 20
"""Bytes that reading any of these small files may take."""


@contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def damaged(whole, rng, count):
    """`whole` with bits flipped, bytes replaced, pieces cut out, doubled or overwritten."""
    for number in range(count):
        content = bytearray(whole)
        at = int(rng.integers(len(content)))
        end = at + int(rng.integers(1, 9))
        match number % 5:
            case 0:
                content[at] ^= 1 << int(rng.integers(8))
            case 1:
                content[at:end] = rng.bytes(end - at)
            case 2:
                del content[at:]
            case 3:
                del content[at:end]
            case _:
                content[at:at] = rng.choice([b"9" * 12, b"[" * 2000, b"-", b"\xff" * 8, b"null"])
        yield bytes(content)


def read_all(path, whole, read, seed, count=200):
    """Let `read` read the damaged files; how many it refused."""
    refused = 0
    for content in damaged(whole, np.random.default_rng(seed), count):
        path.write_bytes(content)
        with little_memory(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read()
            except HeddleError:
                refused += 1
    assert refused > count / 8
    return refused


def npy(array):
    from io import BytesIO

    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_with(header, content=b"", version=b"\x01\x00"):
    text = header.encode().ljust(118 - 10) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "i1"])
def test_damaged_npy(tmp_path, dtype):
    path = tmp_path / "a.npy"
    whole = npy(np.arange(24, dtype=dtype).reshape(4, 6))
    path.write_bytes(whole)
    assert np.array_equal(arrays.read(path), np.arange(24).reshape(4, 6))
    assert arrays.read(path).dtype.isnative
    read_all(path, whole, lambda: arrays.read(path), 1)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_shape(tmp_path, shape, order):
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape), order=order)
    np.save(tmp_path / "a.npy", array)
    read = arrays.read(tmp_path / "a.npy")
    assert read.shape == shape and np.array_equal(read, array)


@pytest.mark.parametrize(
    "content",
    [
        npy_with("{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000, 1000000000)}"),
        npy_with("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,)}", b"12345678"),
        npy_with("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}", b"12345678"),
        npy_with("{'descr': '<f8', 'fortran_order': False, 'shape': (2**70,)}", b"12345678"),
        npy_with("{'descr': 'V2000000000', 'fortran_order': False, 'shape': (3,)}", b"12345678"),
        npy_with("{'descr': '<U500000000', 'fortran_order': False, 'shape': (1,)}", b"12345678"),
        npy_with("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"12345678"),
        npy_with("{'descr': 3, 'fortran_order': False, 'shape': (1,)}", b"12345678"),
        npy_with("{'descr': '<f8'}", b"12345678"),
        npy_with("[" * 100, b"12345678"),
        npy_with("", version=b"\x09\x00"),
        b"\x93NUMPY",
    ],
)
def test_npy_headers_that_lie(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with little_memory(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FormatError, match=r"cannot read .*a\.npy: it is damaged, or holds no"):
            arrays.read(tmp_path / "a.npy")


def test_files_that_are_no_npy_get_advice(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    (tmp_path / "m.safetensors").write_bytes(serialise({"x": np.zeros((2, 2))}))
    (tmp_path / "a.npy").write_bytes(b"")
    for name, words in (
        ("a.npz", "no .npy file; write each array of an .npz archive to a file of its own"),
        ("m.safetensors", "no .npy file; heddle pack takes a model's safetensors file"),
        ("a.npy", "no .npy file; make one with numpy.save"),
        ("missing.npy", "No such file"),
        (".", "Is a directory"),
    ):
        with pytest.raises(FormatError, match=words) as caught:
            arrays.read(tmp_path / name)
        assert "pickle" not in str(caught.value)


def idx(images, shape=(28, 28)):
    pixels = np.arange(images * 784, dtype=np.uint32).astype(np.uint8)
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", images, *shape) + pixels.tobytes()


def labels(count, largest=9):
    return bytes([0, 0, 8, 1]) + struct.pack(">I", count) + bytes([largest] * count)


@pytest.fixture
def mnist(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(3)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels(3))
    return tmp_path


def test_idx_files_are_read(mnist):
    dataset = data.load("mnist", mnist)
    assert dataset.train_x.shape == (3, 784) and dataset.test_y.tolist() == [9, 9, 9]
    assert dataset.train_x[0, 255] == 1 and dataset.train_x[0, 51] == np.float32(0.2)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"])
def test_damaged_idx(mnist, name):
    path = mnist / name
    count = 200 if name.endswith(".gz") else 60
    read_all(path, path.read_bytes(), lambda: data.load("mnist", mnist), 2, count)


def test_damaged_idx_that_is_not_packed(mnist):
    whole = idx(3)
    (mnist / "train-images-idx3-ubyte.gz").unlink()
    path = mnist / "train-images-idx3-ubyte"
    head = [c + whole[16:] for c in damaged(whole[:16], np.random.default_rng(4), 100)]
    for content in head:
        path.write_bytes(content)
        with little_memory(), suppress(HeddleError):
            data.load("mnist", mnist)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (struct.pack(">4B3I", 0, 0, 8, 3, 4_000_000_000, 28, 28), "is no idx file of 1 to"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 1_000_000, 28, 28), "cut short"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 0, 28, 28), "is no idx file of 1 to"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 3, 1 << 31, 1 << 31), r"each \[28, 28\]"),
        (struct.pack(">4B3I", 0, 0, 9, 3, 3, 28, 28), "is no idx file"),
        (idx(3) + b"\0", "longer than it says"),
        (idx(3)[:-1], "cut short"),
        (idx(2), "2 images but 3 labels"),
        (b"", "is no idx file"),
        (b"\0\0\x08\x03\0", "is no idx file"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_idx_sizes_that_lie(mnist, content, words, packed):
    (mnist / "t10k-images-idx3-ubyte.gz").unlink()
    name = f"t10k-images-idx3-ubyte{'.gz' * packed}"
    (mnist / name).write_bytes(gzip.compress(content) if packed else content)
    with little_memory(), pytest.raises(DataError, match=words):
        data.load("mnist", mnist)


def test_a_gzip_that_grows_without_end_is_cut_off(mnist):
    bomb = gzip.compress(idx(3) + bytes(40 << 20))
    (mnist / "t10k-images-idx3-ubyte.gz").write_bytes(bomb)
    with little_memory(), pytest.raises(DataError, match="longer than it says"):
        data.load("mnist", mnist)


def test_a_label_that_is_no_digit_is_refused(mnist):
    (mnist / "t10k-labels-idx1-ubyte").write_bytes(labels(3, 10))
    with pytest.raises(DataError, match="a label of 't10k' is 10, not 0 to 9"):
        data.load("mnist", mnist)


REPORT = {
    "mhz": 80,
    "fmax": 95.75,
    "met": True,
    "seed": 2,
    "seeds": {"1": 78.1},
    "design": "0123",
    "used": {"TRELLIS_COMB": [10283, 24288]},
    "tools": {"pyosys": "0.70"},
}
KEY = "orangecrab-25f/int8_4x4"


def update(folder):
    """What `heddle boards` does."""
    made = board_reports.update(folder, folder / "build")
    board_reports.table(made)


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards.md").write_text(f"{board_reports.BEGIN}\n{board_reports.END}\n")
    (tmp_path / "boards" / "reports.json").write_text(json.dumps({KEY: REPORT}))
    update(tmp_path)
    return tmp_path


@pytest.mark.parametrize("which", ["boards/reports.json", f"build/{KEY}.json"])
def test_damaged_reports(kept, which):
    path = kept / which
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = json.dumps({KEY: REPORT} if which.startswith("boards") else REPORT).encode()
    read_all(path, whole, lambda: update(kept), 3)


@pytest.mark.parametrize("name", REPORT)
@pytest.mark.parametrize(
    "value", [None, -1e400, 10**400, float("nan"), "\ud800", [], {"a": None}, {"\ud800": 1},
              {"a": [1]}, {"a": [1, None]}, {"a": [1.5, 2]}, [[]]],
)  # fmt: skip
def test_reports_of_wrong_types_are_refused_and_nothing_is_written(kept, name, value):
    path = kept / "boards" / "reports.json"
    path.write_text(json.dumps({KEY: REPORT | {name: value}}))
    before = path.read_bytes(), (kept / "boards.md").read_bytes()
    with pytest.raises(FormatError, match=f"{KEY}'?: its '{name}' is of the wrong type"):
        update(kept)
    assert before == (path.read_bytes(), (kept / "boards.md").read_bytes())


@pytest.mark.parametrize(
    "content", ["[]", "3", "[" * 100_000, "\xff", '{"a": 3}', f'{{"{KEY}": []}}']
)
def test_reports_of_no_form_are_refused(kept, content):
    (kept / "boards" / "reports.json").write_bytes(content.encode("latin1"))
    with pytest.raises(FormatError, match="reports.json.* is not .*: take it from the repository"):
        update(kept)


def test_a_damaged_page_of_boards_is_refused(kept):
    (kept / "boards.md").write_bytes(b"\xff")
    with pytest.raises(FormatError, match="boards.md is no text"):
        update(kept)


def test_damaged_configurations(tmp_path):
    path = tmp_path / "mine.toml"
    whole = b'rows = 4\ncolumns = 8\nformat = "int8"\ngroup = 8\naccumulation = "exact"\n'
    path.write_bytes(whole)
    assert configuration.choose("small", None, path).config.columns == 8

    def read():
        with suppress(ConfigError):
            configuration.choose("small", None, path)
            return
        raise HeddleError

    read_all(path, whole, read, 6)


def test_damaged_models(tmp_path):
    path = tmp_path / "m.safetensors"
    rng = np.random.default_rng(1)
    whole = serialise(
        {"a.weight": rng.standard_normal((6, 5)).astype(np.float32), "b": np.zeros(3)},
        {"format": "pt"},
    )

    def read():
        with suppress(FormatError):
            container.load(path)
        list(models.pack_model(path, "fp16"))

    read_all(path, whole, read, 5)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(FormatError, match="is a folder, not a file"):
        container.load(tmp_path)
