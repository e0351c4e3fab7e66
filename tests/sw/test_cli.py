"""The `heddle` command, its files and its generated pages, as a user meets them."""

import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT8
from heddle.sw.compiler import packing
from heddle.sw.errors import DataError
from heddle.sw.nn import container, data, trainer
from heddle.sw.nn.network import SHIPPED, Network, accuracy, from_trained, golden
from heddle.sw.report import demo, docs

ROOT = Path(__file__).parents[2]


def test_prune_check_pack_unpack(heddle):
    dense = np.random.default_rng(1).standard_normal((20, 6))
    np.save("w.npy", dense)
    code, text = heddle("check", "w.npy")
    assert code == 1 and "not 2:8" in text
    assert heddle("prune", "w.npy", "s.npy")[0] == 0
    assert heddle("check", "s.npy")[0] == 0
    assert heddle("pack", "s.npy", "w.safetensors", "--nm", "2:8")[0] == 0
    assert "2:8" in heddle("info", "w.safetensors")[1]
    assert heddle("unpack", "w.safetensors", "back.npy")[0] == 0
    assert np.array_equal(np.load("back.npy"), np.load("s.npy").astype(np.float16))


def test_mistakes_are_one_line_and_change_nothing(heddle):
    np.save("w.npy", np.ones((8, 2)))
    Path("there.npy").write_text("precious")
    for arguments, words in (
        (("check", "missing.npy"), "cannot read"),
        (("check", "w.npy", "--nm", "two"), "like 2:8"),
        (("prune", "w.npy", "there.npy"), "--force"),
        (("pack", "w.npy", "o.safetensors", "--nm", "2:8"), "not 2:8"),
        (("pack", "w.npy", "o.safetensors", "--format", "fp12"), "no format"),
        (("info", "w.npy"), "safetensors"),
        (("verilog", "--preset", "huge"), "no preset"),
        (("verilog", "--top", "module"), "the top module cannot be called 'module'"),
        (("verilog", "--top", "a", "--prefix", "1"), "names cannot begin with '1'"),
        (("run", "--device", "toaster"), "no device"),
        (("train", "--data", "cats"), "no data set"),
    ):
        code, text = heddle(*arguments)
        assert code == 1 and words in text, (arguments, text)
    assert Path("there.npy").read_text() == "precious"
    assert not Path("o.safetensors").exists()


def test_what_cannot_be_written_is_said_in_a_line(heddle, monkeypatch):
    """A file where a folder should be, and the other way round: nobody may write there."""
    np.save("w.npy", np.zeros((8, 2)))
    container.save("w.safetensors", {"weights": packing.pack(np.zeros((8, 2)))})
    Path("file").write_text("precious")
    Path("folder").mkdir()
    long_work = []
    monkeypatch.setattr(
        "heddle.sw.cli.options.open_device", lambda *_, **__: long_work.append("run")
    )
    monkeypatch.setattr(trainer.Training, "advance", lambda _: long_work.append("train"))
    for *arguments, words in (
        ("run", "--device", "model", "--out", "file", "into the folder file (File exists)"),
        ("run", "--device", "model", "--out", "file/x", "into the folder file/x (Not a dir"),
        ("demo", "--no-coverage", "--out", "file", "into the folder file"),
        ("train", "--out", "file/x", "into the folder file"),
        ("train", "--out", "folder", "--force", "folder is a folder"),
        ("prune", "w.npy", "file/o.npy", "into the folder file"),
        ("prune", "w.npy", "folder", "--force", "folder is a folder"),
        ("pack", "w.npy", "file/x", "into the folder file"),
        ("pack", "w.npy", "folder", "--force", "folder is a folder"),
        ("unpack", "w.safetensors", "file/o.npy", "into the folder file"),
        ("verilog", "--preset", "tiny", "--out", "file", "into the folder file"),
        ("docs", "--out", "file", "into the folder file"),
        ("boards", "--docs", "nosuch", "cannot read or write nosuch/boards.md: No such file"),
    ):
        code, text = heddle(*arguments)
        assert code == 1 and words in text, (arguments, text)
    assert not long_work
    assert Path("file").read_text() == "precious" and not list(Path("folder").iterdir())
    assert not Path("nosuch").exists()


def test_pack_tells_what_rounding_does(heddle):
    def pack(dense, *options, format="int8"):
        np.save("w.npy", dense)
        return heddle("pack", "w.npy", "w.safetensors", "--format", format, "--force", *options)

    rows = np.array([[0.4, 0, -1, 2.5]])
    assert "rounding to fp16 changed 1 of 4 elements; 0 became zero" in pack(rows, format="fp16")[1]
    tiny = np.array([[1e-4, 0, -1, 2.5]])
    assert "rounding to e4m3 changed 1 of 4 elements; 1 became zero" in pack(tiny, format="e4m3")[1]
    for whole in (np.array([[1.0, -128, 0]]), np.array([[-7, 5]]), np.array([[100]], np.uint8)):
        code, text = pack(whole)
        assert code == 0 and "rounding" not in text
    for wrong, words in (
        (np.full((2, 2), 300.0), "300.0 at [0, 0]"),
        (np.array([[200]], np.uint8), "200 at [0, 0] is beyond int8"),
        (rows, "0.4 at [0, 0]"),
    ):
        code, text = pack(wrong)
        assert code == 1 and words in text and 'scale="column"' in text
    assert pack(rows, "--scale", "column")[0] == 0
    assert heddle("unpack", "w.safetensors", "back.npy", "--force")[0] == 0
    assert np.allclose(np.load("back.npy"), rows)
    code, text = pack(rows, "--scale", "row")
    assert code == 1 and 'a scale is "column" or numbers' in text


def test_missing_folders_are_made(heddle):
    np.save("w.npy", np.ones((8, 2)))
    assert heddle("prune", "w.npy", "a/s.npy")[0] == 0
    assert heddle("pack", "a/s.npy", "b/w.safetensors")[0] == 0
    assert heddle("unpack", "b/w.safetensors", "c/back.npy")[0] == 0
    assert np.array_equal(np.load("c/back.npy"), np.load("a/s.npy"))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (OSError(28, "No space left on device"), "heddle: [Errno 28] No space left on device"),
        (OSError(13, "Permission denied", "at"), "heddle: cannot read or write at: Permission"),
        (OSError(21, "Is a folder", "a.part", None, "a"), "cannot read or write a: Is a folder"),
    ],
)
def test_what_the_system_refuses_is_said_in_a_line(heddle, monkeypatch, reason, words):
    monkeypatch.setattr(container, "load", Mock(side_effect=reason))
    code, text = heddle("info", "w.safetensors")
    assert code == 1 and words in text


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_device_gets_the_network_of_its_format(heddle, preset):
    code, text = heddle("run", "--device", "model", "--preset", preset, "--images", 4)
    assert code == 0 and "agree in every bit" in text


def test_a_network_of_another_format_is_refused(heddle):
    for preset, format in (("tiny", FP16), ("small", INT8)):
        options = ("--device", "model", "--preset", preset, "--network", SHIPPED[format])
        code, text = heddle("run", *options)
        assert code == 1 and f"the network is {format.name}" in text
    code, text = heddle("train", "--format", "fp8_e4m3")
    assert code == 1 and "there are no networks of 'fp8_e4m3'" in text


@pytest.mark.parametrize("nm", ["0:8", "2:3", "2:16", "0:0", "9:8"])
def test_patterns_that_make_no_network_are_refused_before_training(heddle, monkeypatch, nm):
    monkeypatch.setattr(trainer.Training, "advance", Mock(side_effect=AssertionError("it trains")))
    code, text = heddle("train", "--nm", nm, "--out", "folder/network.safetensors")
    words = "keeps no weight" if nm == "0:8" else "M dividing 8"
    assert code == 1 and f"{nm}" in text and words in text
    assert not Path("folder").exists()


def test_a_seed_below_zero_is_refused(heddle):
    code, text = heddle("train", "--seed", -1)
    assert code == 2 and "'--seed'" in text


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("data", ["digits"]),
        ("data", None),
        ("relu", []),
        ("relu", 3),
        ("relu", [True]),
        ("step", "x"),
        ("step", 0),
        ("step", float("nan")),
    ],
)
def test_a_network_whose_notes_are_wrong_is_refused(heddle, name, wrong):
    matrices, arrays, notes = container.load(SHIPPED[INT8])
    container.save("wrong.safetensors", matrices, arrays, notes | {name: wrong})
    options = ("--device", "model", "--preset", "tiny", "--network", "wrong.safetensors")
    code, text = heddle("run", *options)
    assert code == 1 and f"no network ({name!r} of its notes is {wrong!r})" in text


def test_generated_pages_are_up_to_date():
    for name, page in docs.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == page(), f"{name}: run `make docs`"


@pytest.mark.parametrize("missing, code", [([], 0), (["fp16 n=2"], 1)])
def test_coverage_is_told_and_kept(heddle, monkeypatch, missing, code):
    row = {"hit": 1, "bins": 2} | dict.fromkeys(demo.COVERED, {"full": 1, "values": 3})
    summary = {"hit": 1, "bins": 2, "products": 5, "formats": {"fp16": row}, "missing": missing}
    monkeypatch.setattr(demo, "coverage", lambda console: summary)
    done, text = heddle("coverage", "--out", "there")
    assert done == code and "1 of 2 cross bins, 5 products" in text
    assert json.loads(Path("there/coverage.json").read_text()) == summary


@pytest.mark.parametrize("format", SHIPPED, ids=lambda format: format.name)
def test_the_shipped_network_is_small_sparse_and_good(format):
    network = Network.load(SHIPPED[format])
    digits = data.load()
    assert network.format == format
    assert [layer.weights.pattern for layer in network.layers] == [(2, 8), (2, 8), (8, 8)]
    assert accuracy(network.float32(digits.test_x), digits.test_y) >= 0.965


def test_quantised_it_classifies_as_before():
    """As a device computes it: rounded after every layer, at most half a percent is lost."""
    digits = data.load()
    scores = {}
    for format, path in SHIPPED.items():
        exact = golden(Config("golden", 2, 2, format))
        outputs = Network.load(path).run(digits.test_x, exact)
        scores[format] = accuracy(outputs[-1], digits.test_y)
        assert [raw.dtype.itemsize for raw in outputs] == [format.bits // 8] * 2 + [4]
    assert scores[INT8] >= scores[FP16] - 0.005


@pytest.mark.parametrize("method", trainer.METHODS)
def test_training_is_seeded_and_learns(method):
    digits = data.load()
    recipe = trainer.Recipe(hidden=(32,), method=method, epochs=8)
    first, second = (trainer.train(digits, recipe) for _ in range(2))
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(first, second, strict=True))
    network = from_trained(first, "digits")
    assert accuracy(network.float32(digits.test_x), digits.test_y) > 0.7


def test_missing_data_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        data.load("fashion-mnist", tmp_path / "nowhere")


def test_version(heddle):
    """The one that pip knows, too."""
    import importlib.metadata

    import heddle as package

    assert heddle("--version") == (0, f"heddle {package.__version__}")
    assert importlib.metadata.version("heddle") == package.__version__
