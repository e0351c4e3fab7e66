"""Trainings that are stopped, killed, damaged and gone on with; data sets in .npz files."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heddle.sw.errors import DataError, FormatError
from heddle.sw.nn import checkpoint, data, trainer
from heddle.sw.nn.data import Dataset
from heddle.sw.nn.trainer import Recipe, Training


def blobs() -> Dataset:
    """Three classes of 16 numbers."""
    rng = np.random.default_rng(1)
    y = np.arange(60) % 3
    x = (np.eye(3)[y] @ rng.standard_normal((3, 16)) + rng.standard_normal((60, 16))).astype("f4")
    return Dataset("blobs", x[:45], y[:45], x[45:], y[45:])


def recipe(method: str, **other) -> Recipe:
    return Recipe(hidden=(16, 16), method=method, epochs=4, batch=16, rate=0.02, **other)


def bits(training: Training) -> list[bytes]:
    arrays = [a for layer in training.layers for a in (layer.weights, layer.bias, layer.used())]
    churn = [np.array(learning.churn) for learning in training.learning]
    return [array.tobytes() for array in (*arrays, *churn, np.array(training.curve))]


@pytest.mark.parametrize("method", trainer.METHODS)
def test_a_training_goes_on_with_the_same_bits(method, tmp_path):
    """Wherever it was stopped: saved and loaded after each of its steps."""
    whole = Training.begun(blobs(), recipe(method))
    while not whole.done:
        whole.advance()
    path, parts = tmp_path / "c", Training.begun(blobs(), recipe(method))
    while True:
        checkpoint.save(path, parts)
        parts = checkpoint.load(path, blobs(), recipe(method))
        if parts.done:
            break
        parts.advance()
    assert parts.step == 12 == whole.step and len(whole.curve) == 4
    assert bits(parts) == bits(whole)
    moved, still = sum(whole.learning[0].churn), ("dense", "mvue", "sdgp", "static", "transposable")
    assert (moved > 0) != (method in still)


def test_convolutions_go_on_too(tmp_path):
    digits = replace(data.load().first(8), train_x=data.load().train_x[:32])
    digits = replace(digits, train_y=digits.train_y[:32])
    given = Recipe(architecture="cnn", channels=(8, 8, 8), epochs=2, batch=16, rate=0.01)
    whole, parts = (Training.begun(digits, given) for _ in range(2))
    for step in range(4):
        whole.advance()
        parts.advance()
        if step == 1:
            checkpoint.save(tmp_path / "c", parts)
            parts = checkpoint.load(tmp_path / "c", digits, given)
    assert bits(parts) == bits(whole)


def test_another_training_is_not_gone_on_with(tmp_path):
    path, training = tmp_path / "c", Training.begun(blobs(), recipe("bdwp"))
    training.advance()
    checkpoint.save(path, training)
    with pytest.raises(FormatError, match=r"of another training \(seed 1, not 2\)"):
        checkpoint.load(path, blobs(), recipe("bdwp", seed=2))
    with pytest.raises(FormatError, match=r"\(method bdwp, not kept\).*--restart"):
        checkpoint.load(path, blobs(), recipe("kept"))
    other = replace(blobs(), train_x=blobs().train_x + 1)
    with pytest.raises(FormatError, match=r"\(the data\)"):
        checkpoint.load(path, other, recipe("bdwp"))
    from heddle.sw.nn import container

    container.save(path, {}, {"order": np.zeros(3)})
    with pytest.raises(FormatError, match="holds no training"):
        checkpoint.load(path, blobs(), recipe("bdwp"))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    """Cut anywhere, or with a bit of it flipped."""
    path, training = tmp_path / "c", Training.begun(blobs(), recipe("kept"))
    training.advance()
    checkpoint.save(path, training)
    whole, rng = path.read_bytes(), np.random.default_rng(2)
    for _ in range(60):
        at = int(rng.integers(len(whole)))
        flipped = bytearray(whole)
        flipped[at] ^= 1 << int(rng.integers(8))
        for damaged in (whole[:at], bytes(flipped)):
            path.write_bytes(damaged)
            with pytest.raises(FormatError):
                checkpoint.load(path, blobs(), recipe("kept"))


def test_what_was_there_stays_if_writing_fails(tmp_path, monkeypatch):
    path, training = tmp_path / "c", Training.begun(blobs(), recipe("bdwp"))
    checkpoint.save(path, training)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    training.advance()
    with pytest.raises(DataError, match="cannot write"):
        checkpoint.save(path, training)
    assert checkpoint.load(path, blobs(), recipe("bdwp")).step == 0


def written(path: Path) -> Path:
    held = blobs()
    arrays = {name: getattr(held, name) for name in ("train_x", "train_y", "test_x", "test_y")}
    np.savez(path, **arrays)
    return path


ONE_THREAD = os.environ | {"OPENBLAS_NUM_THREADS": "1"}


def started(folder: Path, out: str, *options: str) -> subprocess.Popen:
    command = "from heddle.sw.cli import main; main()"
    arguments = ["train", "--data", "mine.npz", "--epochs", "300", "--out", out, *options]
    return subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        cwd=folder,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    written(folder / "mine.npz")
    assert started(folder, "a").communicate(timeout=120)[0]
    return (folder / "a").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_in_the_middle(number, tmp_path, undisturbed):
    """The same command makes the file that an undisturbed one makes."""
    written(tmp_path / "mine.npz")
    process, kept = started(tmp_path, "a", "--every", "0"), tmp_path / "a.checkpoint"
    deadline = time.monotonic() + 60
    while not kept.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert kept.exists() and not (tmp_path / "a").exists()
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number and "the same command goes on" in said
        assert "Traceback" not in said
    again = started(tmp_path, "a")
    assert "going on from a.checkpoint" in again.communicate(timeout=120)[0]
    assert (tmp_path / "a").read_bytes() == undisturbed and not kept.exists()


def test_restart_and_curves(heddle, tmp_path):
    written(Path("mine.npz"))
    Path("a.checkpoint").write_text("nonsense")
    options = ("train", "--data", "mine.npz", "--epochs", 3, "--out", "a")
    code, text = heddle(*options)
    assert code == 1 and "a.checkpoint is truncated" in text
    code, text = heddle(*options, "--restart", "--curves", "a.png")
    assert code == 0 and "wrote a.png" in text and not Path("a.checkpoint").exists()
    assert Path("a.png").read_bytes()[:4] == b"\x89PNG"
    code, text = heddle(*options[:-1], "b", "--curves", "b.pdf")
    assert code == 1 and "one of .svg, .png" in text and not Path("b").exists()


def test_bytes_are_divided_by_255(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.array([[[0, 51], [255, 0]]] * 3, np.uint8)
    np.savez(path, train_x=x, train_y=[0, 1, 0])
    held = data.load(str(path))
    assert held.train_x.tolist()[0] == [0, np.float32(0.2), 1, 0]
    assert held.train_y.tolist() == [0, 1, 0] and len(held.test_x) == len(held.test_y) == 0
    assert held.judged == (held.train_x, held.train_y)


GOOD = {"train_x": np.ones((4, 3)), "train_y": np.arange(4)}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"train_y": None}, "has no train_y"),
        ({"train_y": np.arange(3)}, "train_y [count]"),
        ({"train_x": np.ones(4)}, "train_x is to be [count"),
        ({"train_x": np.ones((4, 0))}, "train_x is to be [count"),
        ({"train_x": np.full((4, 3), "a")}, "numbers"),
        ({"train_x": np.full((4, 3), np.nan)}, "no finite number"),
        ({"train_y": np.arange(4) - 1}, "are -1 to 2"),
        ({"train_y": np.arange(4) / 2}, "whole ones"),
        ({"train_y": np.arange(4) * 10_000}, "less than 10,000"),
        ({"test_x": np.ones((2, 3))}, "test_y [count]"),
        ({"test_x": np.ones((2, 5)), "test_y": np.arange(2)}, "a row of train_x has 3 numbers"),
        ({"train_x": np.array([[None] * 3] * 4, object)}, "plain arrays"),
    ],
)
def test_arrays_that_are_no_data_set(heddle, wrong, words):
    np.savez("mine.npz", **{k: v for k, v in (GOOD | wrong).items() if v is not None})
    code, text = heddle("train", "--data", "mine.npz", "--out", "o")
    assert code == 1 and words in text, text


def test_files_that_are_no_data_set(heddle):
    assert "there is no file none.npz" in heddle("train", "--data", "none.npz")[1]
    Path("bad.npz").write_bytes(b"PK\x03\x04 nonsense")
    assert "bad.npz is damaged or no .npz file" in heddle("train", "--data", "bad.npz")[1]
