"""Trainings that are kept: each once, resumed where they ended, and their mean told."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from heddle.sim.bench import accuracy
from heddle.sim.reproduce import __main__ as command
from heddle.sim.reproduce import bits, page, picture, runs
from heddle.sim.reproduce.kept import read
from heddle.sw.nn.recipes import RECIPES
from heddle.sw.nn.trainer import Training

from ..sw.test_on_device import RECIPE, dataset, model

DOCS = Path(__file__).parents[2] / "docs"


def kept(method: str, n: int, m: int, accuracies: list[float]) -> list[dict]:
    made = []
    for seed, value in enumerate(accuracies, 1):
        run = runs.Run("digits", "mlp", method, n, m, 3, 64, seed)
        made.append(asdict(run) | {"accuracy": value, "loss": 0.1, "skipped": 0, "images": ""})
    return made


def test_what_is_there_is_not_done_again(tmp_path, monkeypatch, capsys):
    out, data = tmp_path / "accuracy.json", dataset(24, 64)
    monkeypatch.setattr(command.datasets, "load", lambda *_: data)
    words = f"x --methods dense,bdwp --epochs 1 --batch 16 --seeds 2 --out {out}".split()
    monkeypatch.setattr("sys.argv", words)
    done = []
    result = runs.result
    monkeypatch.setattr(runs, "result", lambda *one: done.append(one[0]) or result(*one))
    assert command.main() == 0
    first = json.loads(out.read_text())
    assert len(first["runs"]) == len(done) == 10  # two seeds of dense and four patterns
    told = 'make reproduce ARGS="--methods dense,bdwp --epochs 1 --batch 16 --seeds 2"'
    assert all(0 <= row["accuracy"] <= 100 and row["command"] == told for row in first["runs"])
    first["runs"].pop()
    out.write_text(json.dumps(first))
    assert command.main() == 0 and len(done) == 11
    again = json.loads(out.read_text())
    assert len(again["runs"]) == 10 and again["runs"][:9] == first["runs"]
    assert "bdwp" in capsys.readouterr().out
    assert out.with_suffix(".md").read_text("utf-8") == page.made(again)


def test_the_same_seed_is_the_same_accuracy():
    run, data = runs.Run("noise", "mlp", "bdwp", 2, 8, 2, 16, 1), dataset(24, 64)
    assert runs.result(run, data) == runs.result(run, data)


def test_mean_and_deviation():
    found = runs.summary({"runs": kept("dense", 8, 8, [2.0, 4.0, 6.0])})
    assert found == {("digits", "mlp", 3, 64, "dense", 8, 8): (4.0, 2.0, 3)}


def test_a_page_of_them():
    """Fewer seeds than dense's are told; what was not tried has no line and no column."""
    rows = kept("dense", 8, 8, [90.0, 92.0, 94.0]) + kept("bdwp", 2, 8, [91.0, 93.0])
    rows += kept("kept", 1, 4, [88.0])
    made = page.made({"runs": [row | {"command": "make reproduce"} for row in rows]})
    told = """\
## digits: perceptron of 256 and 256 hidden values

3 epochs, batch 64. Dense: 92.00 ± 2.00 (3 seeds).

| `--method` | 1:4 | 2:8 |
|---|---|---|
| `bdwp` |  | 92.00 ± 1.41 (2) |
| `kept` | 88.00 (1) |  |

    make reproduce
"""
    assert made == page.HEAD + "\n" + told


def test_the_page_is_of_what_is_kept():
    assert page.made(read(DOCS / "accuracy.json")) == (DOCS / "accuracy.md").read_text("utf-8")


def test_bench_rows(tmp_path, monkeypatch):
    """A row for what five seeds have tried, against dense."""
    file = tmp_path / "accuracy.json"
    monkeypatch.setattr(accuracy, "FILE", file)
    assert list(accuracy.rows("train")) == []
    rows = kept("dense", 8, 8, [90.0] * 5) + kept("bdwp", 2, 8, [89.0, 90.0, 89.5, 90.5, 89.75])
    file.write_text(json.dumps({"runs": rows + kept("kept", 2, 8, [89.0] * 4)}))
    (row,) = accuracy.rows("train")
    assert row["name"] == "train.accuracy_lost.bdwp.2of8.digits.mlp"
    assert row["value"] == pytest.approx(0.25) and row["target"] == 0.5


def test_a_method_that_is_not_there(monkeypatch, capsys):
    for words, told in (
        (["--methods", "best"], "no method best; there are"),
        (["--patterns", "2to8"], "2to8"),
    ):
        monkeypatch.setattr("sys.argv", ["x", *words])
        assert command.main() == 2
        assert told in " ".join(capsys.readouterr().out.split())


def test_bits_that_differ_are_counted(tmp_path, monkeypatch, capsys):
    """A training on a device beside the host's: nothing differs; and what does is counted, told and
    kept."""
    data, case = dataset(24, 64), bits.Case(RECIPE, "kept", 5)
    with model() as device:
        row = bits.result(case, data, device, lambda step: None)
    assert row["name"] == "mlp.kept" and row["steps"] == 5
    assert row["different"] == 0 and row["numbers"] > 500
    here, there = (Training.begun(data, RECIPE) for _ in range(2))
    assert bits.compared(here, there)[0] == 0
    there.layers[0].weights[3, 4] = -there.layers[0].weights[3, 4]
    there.learning[1].bias.speed[2] = -0.0
    assert bits.compared(here, there)[0] == 2

    monkeypatch.setattr(bits, "CASES", (case,))
    monkeypatch.setattr(bits.datasets, "load", lambda *_: data)
    monkeypatch.setattr(bits, "open_device", lambda *_, **__: model())
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["x", "--bits"])
    (tmp_path / "docs").mkdir()
    assert command.main() == 0
    assert read(tmp_path / "docs" / "bits.json")["runs"] == [row]
    assert "mlp.kept: 5 steps, 0 of" in capsys.readouterr().out
    wrong = row | {"different": 3}
    monkeypatch.setattr(bits, "result", lambda *_: wrong)
    assert command.main() == 1


LAYERS = {
    "one": {"ff": {"8": 80, "2": 20}, "bp": {"8": 100, "2": 40}, "wu": {"8": 60, "2": 30}},
    "two": {"ff": {"8": 20, "2": 10}, "bp": {"8": 20, "2": 10}, "wu": {"8": 20, "2": 10}},
}


def test_speedups_of_recipes():
    """Of 300 dense cycles, by hand."""
    found = {name: picture.speedup({"layers": LAYERS}, RECIPES[name](2, 8)) for name in RECIPES}
    assert found["static"] == pytest.approx(300 / 120)
    assert found["bdwp"] == found["transposable"] == pytest.approx(300 / 160)
    assert found["sr-ste"] == pytest.approx(300 / 230)
    assert found["kept"] == pytest.approx(300 / (0.3 * 160 + 0.7 * 120))
    assert found["step"] == pytest.approx(300 / (0.5 * 300 + 0.5 * 230))
    assert found["md-gf"] == pytest.approx(300 / (0.7 * 300 + 0.3 * 230), rel=1e-3)
    assert picture.speedup({"layers": LAYERS}, RECIPES["dense"](8, 8)) == 1


def test_the_picture(tmp_path):
    """A point for each recipe that was tried, none for another."""
    made = kept("dense", 8, 8, [90.0, 91.0]) + kept("bdwp", 2, 8, [89.0, 90.0])
    path = tmp_path / "recipes.svg"
    picture.draw(path, runs.summary({"runs": made}), {"layers": LAYERS}, ("digits", "mlp", 3, 64))
    first = path.read_bytes()
    assert b"<!-- bdwp -->" in first and b"<!-- kept -->" not in first
    picture.draw(path, runs.summary({"runs": made}), {"layers": LAYERS}, ("digits", "mlp", 3, 64))
    assert path.read_bytes() == first
