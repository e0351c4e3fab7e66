"""Bitstreams: a whole one (slow), and what a user is told when one cannot be made or loaded."""

import json

import pytest

from hw.platforms import board
from sw import bitstream
from sw.bitstream import BuildError


@pytest.mark.slow
def test_a_bitstream(tmp_path):
    ulx3s = board("ulx3s-85f")
    report = bitstream.make(ulx3s, ulx3s.build("int8_4x4"), tmp_path, seeds=(1,))
    file = tmp_path / report.file
    assert file.stat().st_size > 100_000
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["fmax"] == report.fmax and written["seed"] == 1
    assert report.used["MULT18X18D"][0] >= 16


def test_a_tool_that_fails_is_named(tmp_path):
    with pytest.raises(BuildError, match="run_ecppack failed"):
        bitstream._run("run_ecppack", ["nothing", "out.bit"], tmp_path, "log")


def test_loading_says_what_is_missing(tmp_path, monkeypatch):
    ulx3s = board("ulx3s-85f")
    with pytest.raises(BuildError, match="make bitstream BOARD=ulx3s-85f"):
        bitstream.load(ulx3s, tmp_path / "no.bit")
    (tmp_path / "a.bit").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="openFPGALoader is not on the path"):
        bitstream.load(ulx3s, tmp_path / "a.bit")
