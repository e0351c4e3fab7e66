"""Bitstreams: whole ones (slow), and what a user is told when one cannot be made or loaded."""

import json

import pytest
from typer.testing import CliRunner

from heddle.hw.config import ConfigError
from heddle.hw.platforms import BOARDS, Family, board
from heddle.hw.platforms.vendor import VENDOR_BOARDS
from heddle.sim.bench.board import smallest
from heddle.sw import bitstream, cli, toolchain
from heddle.sw.toolchain import TOOLCHAINS, BuildError

BLINKER = """
module top(input clk, rx, output tx, busy, error);
  reg [23:0] count = 0;
  always @(posedge clk) count <= count + 1;
  assign tx = rx, busy = count[23], error = count[22];
endmodule
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_a_bitstream(tmp_path, name):
    build = smallest(board(name))
    report = bitstream.make(board(name), build, tmp_path)
    assert report.met and report.fmax >= report.mhz
    assert (tmp_path / report.file).stat().st_size > 100_000
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["fmax"] == report.fmax and written["seed"] == report.seed
    assert sum(report.used[kind][0] for kind in report.used if "MULT" in kind or "DSP" in kind) >= (
        build.config.macs_per_cycle
    )


@pytest.mark.parametrize("family", Family)
def test_each_familys_tools_make_a_file(tmp_path, monkeypatch, family):
    """Every step but the accelerator: a counter on the pins of the family's smallest board."""
    monkeypatch.setenv("HEDDLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bitstream, "generate", lambda board, build: BLINKER)
    (chosen, *_) = sorted(
        (b for b in BOARDS.values() if b.family is family),
        key=lambda b: smallest(b).config.macs_per_cycle,
    )
    steps = []
    report = bitstream.make(chosen, smallest(chosen), tmp_path, (1,), steps.append)
    assert report.fmax > report.mhz and report.met and report.seeds == {"1": report.fmax}
    data = (tmp_path / report.file).read_bytes()
    assert len(data) > 10_000
    assert set(report.tools) >= {"pyosys", TOOLCHAINS[family].router}
    # What was placed and routed once is not again, and the file is the same.
    log = tmp_path / smallest(chosen).config.name / "nextpnr-1.log"
    log.unlink()
    again = bitstream.make(chosen, smallest(chosen), tmp_path, (1,))
    assert again == report and not log.exists()
    assert (tmp_path / report.file).read_bytes() == data


def test_a_tool_that_fails_is_named(tmp_path):
    with pytest.raises(BuildError, match="yowasp-ecppack failed"):
        toolchain.run("yowasp-ecppack", ["nothing", "out.bit"], tmp_path, "log")
    with pytest.raises(BuildError, match="the tool 'nextpnr-none' is not installed"):
        toolchain.run("nextpnr-none", [], tmp_path, "log")


def test_loading_says_what_is_missing(tmp_path, monkeypatch):
    ulx3s = board("ulx3s-85f")
    with pytest.raises(BuildError, match="make bitstream BOARD=ulx3s-85f"):
        toolchain.load(ulx3s, tmp_path / "no.bit")
    (tmp_path / "a.bit").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="openFPGALoader is not on the path"):
        toolchain.load(ulx3s, tmp_path / "a.bit")


@pytest.mark.parametrize("name", BOARDS)
def test_the_missing_file_is_what_the_advice_makes(tmp_path, name):
    """Also if it holds another configuration than the board's default."""
    for build in board(name).builds:
        config = build.config.name
        arguments = ["load", "--board", name, "--config", config, "--out", str(tmp_path)]
        told = str(CliRunner().invoke(cli.app, arguments).exception)
        assert told.startswith(f"there is no {tmp_path / name / config / config}.")
        advice = told.partition("make bitstream ")[2].split()
        given = dict(word.split("=") for word in advice)
        assert given.pop("BOARD") == name
        assert board(name).build(given.pop("CONFIG", None)) is build and not given


def test_a_loader_that_fails_may_be_an_old_one(tmp_path, monkeypatch):
    loader = tmp_path / "openFPGALoader"
    loader.write_text("#!/bin/sh\nexit 1\n")
    loader.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BuildError, match=r"failed \(code 1\): is the board connected") as told:
        toolchain.load(board("ecpix-5-85f"), loader)
    assert "may not know the board ecpix5_r03 (openFPGALoader --list-boards" in str(told.value)


@pytest.mark.parametrize("name", VENDOR_BOARDS)
def test_loading_a_vendors_board(tmp_path, monkeypatch, name):
    """openFPGALoader gets the file that Vivado made, or the user is told what loads the board."""
    loader = tmp_path / "openFPGALoader"
    loader.write_text('#!/bin/sh\necho "$@" > "$0.arguments"\n')
    loader.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    arguments = ["load", "--board", name, "--out", str(tmp_path)]
    board, file = VENDOR_BOARDS[name], tmp_path / name / "heddle.bit"

    def run(*more):
        return CliRunner().invoke(cli.app, [*arguments, *more])

    wrong = run("--config", "fp16_1x1").exception
    assert isinstance(wrong, ConfigError) and board.config.name in str(wrong)
    if name.startswith("arty"):
        assert f"make bitstream BOARD={name} where vivado" in str(run().exception)
        file.parent.mkdir()
        file.write_text("bits")
        assert run().exit_code == 0
        given = (tmp_path / "openFPGALoader.arguments").read_text().split()
        assert given == ["-b", name.replace("-", "_") + "t", str(file)]
    else:
        refused = run().exception
        assert isinstance(refused, BuildError)
        assert {"vcu1525": "hardware manager", "pynq-z2": "heddle.hwh"}[name] in str(refused)
