"""Configurations from the command line: presets, files, boards, and fields changed."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heddle.hw.config import Accumulation, Config, ConfigError, preset
from heddle.hw.formats import FORMATS, INT8
from heddle.sw import cli
from heddle.sw.cli.configuration import TEXTS, Chosen, choose, read
from heddle.sw.cli.options import clock


def test_every_field_is_an_option():
    assert list(TEXTS) == [field.name for field in fields(Config)]


def test_a_file_lies_over_a_preset_and_options_over_both(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('rows = 5\nformat = "int8"\ncompact = true\n')
    assert choose("tiny") == Chosen(preset("tiny"), None, False)
    assert choose("tiny", "small") == Chosen(preset("small"), None, True)
    mine = choose("tiny", "small", file, changes={"columns": 7, "lanes": None}).config
    assert mine == Config("mine", 5, 7, INT8, settings_pages=16, compact=True)
    custom = choose("small", changes={"rows": 5, "columns": 7}).config
    assert custom == Config("custom", 5, 7, settings_pages=16, tensor_words=8192, vector_lanes=4)
    narrow = choose("small", changes={"format": "int4"}).config
    assert (narrow.tensor_words, narrow.vector_lanes) == (8192, 0)  # no room for an instruction
    with pytest.raises(ConfigError, match="vector_lanes must be 0 if a beat"):
        choose("small", changes={"format": "int4", "vector_lanes": 4})
    with pytest.raises(ConfigError, match="tensor_words must be 0 if the device is compact"):
        choose("tiny", "small", file, changes={"tensor_words": 64})
    changes = {"accumulation": "fp32", "interleave": 5, "name": "other"}
    other = choose("small", None, file, changes=changes | {"format": "fp16"}).config
    assert other.name == "other" and other.accumulation is Accumulation.FP32


def test_a_board_gives_its_configuration_and_clock():
    chosen = choose("tiny", board="ulx3s-85f/int8_12x12", changes={"rows": 6})
    assert (chosen.config.rows, chosen.config.columns, chosen.mhz) == (6, 12, 100)
    assert choose("tiny", board="icebreaker").config.compact
    assert clock(None, chosen) == 100 and clock(25.0, chosen) == 25
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="above 0"):
            clock(wrong, chosen)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows = ", "is not TOML"),
        ('rows = "5"', "rows must be an integer, not '5'"),
        ("rows = 5.0", "rows must be an integer, not 5.0"),
        ("rows = true", "rows must be an integer, not True"),
        ("[rows]\nx = 1", "rows must be an integer"),
        ("compact = 1", "compact must be True or False"),
        ("rows = 129", "rows must be from 1 to 128, not 129"),
        ("rows = -1", "rows must be from 1 to 128, not -1"),
        ("rowz = 5", "has no 'rowz'; it has name, rows"),
        ('format = "fp12"', "format must be one of int8, fp16"),
        ("format = 3", "format must be one of int8, fp16"),
        ('accumulation = "int"', "must be one of exact, fp32"),
        ('name = "../x"', "a configuration's name is of letters"),
        ("name = 3", "a configuration's name is of letters"),
    ],
)
def test_a_wrong_file_is_refused_in_words(tmp_path, text, words):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refusal:
        choose("small", file=file)
    assert words in str(refusal.value)
    file.write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match="is not TOML"):
        read(file)


@pytest.mark.parametrize("board", ["nosuch", "ulx3s-85f/nosuch", "vcu1525/nosuch"])
def test_an_unknown_board_is_refused_in_words(board):
    with pytest.raises(ConfigError, match="nosuch"):
        choose("small", board=board)
    with pytest.raises(ConfigError, match="give one of them"):
        choose("small", "tiny", board="icebreaker")


def test_a_configurations_numbers_are_pythons():
    described = Config("numpy", np.int64(3), np.uint8(4)).describe()
    assert json.loads(json.dumps(described))["columns"] == 4
    for wrong in ({"lanes": None}, {"group": 8.0}, {"accumulation": 0}, {"compact": np.True_}):
        with pytest.raises(ConfigError, match=f"{[*wrong][0]} must be"):
            Config("wrong", **{"rows": 2, "columns": 2} | wrong)


def test_verilog_and_a_run_take_any_configuration(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    wanted = "--rows 3 --columns 2 --format int8 --name three".split()
    done = CliRunner().invoke(cli.app, ["verilog", *wanted, "--out", "v"])
    assert done.exit_code == 0, done.output
    described = json.loads(Path("v/three.json").read_text())["configuration"]
    assert (described["rows"], described["columns"], described["name"]) == (3, 2, "three")
    more = "--device model --images 2 --clock-mhz 50 --out r".split()
    done = CliRunner().invoke(cli.app, ["run", *wanted, *more])
    assert done.exit_code == 0, done.output
    report = json.loads(Path("r/report.json").read_text())
    assert report["configuration"]["rows"] == 3 and report["clock_mhz"] == 50
    assert FORMATS[report["configuration"]["format"]] is INT8


def test_a_board_is_not_configured_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["run", "--device", "/dev/null", "--rows", "3"])
    assert "has a configuration of its own" in str(done.exception)
