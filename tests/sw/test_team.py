"""`heddle train` as torchrun starts it: ranks end with what one device makes; what is refused."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heddle.sw.cli import app
from heddle.sw.cli.team import Team
from heddle.sw.errors import FormatError


def test_each_rank_has_a_board_of_its_own():
    assert Team().own("/dev/ttyUSB1") == "/dev/ttyUSB1" and Team().leads
    assert Team(1, 2).own("/dev/ttyUSB{rank}") == "/dev/ttyUSB1" and not Team(1, 2).leads
    assert Team(1, 2).own("sim") == "sim"
    with pytest.raises(FormatError, match=r"one board for 2 ranks: .* /dev/ttyUSB\{rank\}"):
        Team(0, 2).own("/dev/ttyUSB1")


def written(folder: Path) -> Path:
    """A data set of three classes."""
    rng, labels = np.random.default_rng(1), np.arange(48) % 3
    x = (rng.random((3, 16))[labels] + rng.normal(0, 0.1, (48, 16))).astype("f4")
    np.savez(folder / "three.npz", train_x=x, train_y=labels, test_x=x, test_y=labels)
    return folder / "three.npz"


def test_ranks_need_pytorch(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "torch", None)
    arguments = ["train", "--data", str(written(tmp_path)), "--out", str(tmp_path / "a")]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, FormatError)
    assert "WORLD_SIZE is 2: ranks need PyTorch" in str(done.exception)


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_two_ranks_make_the_same_file(tmp_path):
    written(tmp_path)
    heddle = [sys.executable, "-m", "heddle.sw.cli", "train", "--data", "three.npz"]
    heddle += "--device model --method kept --hidden 16,8 --batch 16 --epochs 3 --out".split()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-port", "29517", "--no-python"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for words in ([*heddle, "one"], [*torchrun, *heddle, "two"]):
        done = subprocess.run(
            words, cwd=tmp_path, env=one_thread, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("wrote") == 1  # by the rank that leads
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    words = [*torchrun, *heddle[:-1], "--restart", "--force", "--out", "two"]
    words[words.index("--device") : words.index("--device") + 2] = []
    done = subprocess.run(words, cwd=tmp_path, env=one_thread, capture_output=True, text=True)
    assert "each rank has a device: say with --device which" in done.stderr
