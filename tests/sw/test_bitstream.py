"""Bitstreams: whole ones (slow), and what a user is told when one cannot be made or loaded."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from amaranth import ClockDomain, ClockSignal, Module, Signal
from typer.testing import CliRunner

from heddle.hw.config import ConfigError
from heddle.hw.lib.library import Library
from heddle.hw.link.uart import divisor
from heddle.hw.platforms import BOARDS, Family, board
from heddle.hw.platforms.pins import held_high
from heddle.hw.platforms.pll import add_pll
from heddle.hw.platforms.top import BoardTop, dividers_of
from heddle.hw.platforms.vendor import VENDOR_BOARDS
from heddle.hw.verilog import convert
from heddle.sim.bench.board import smallest
from heddle.sw import cli
from heddle.sw.flow import bitstream, toolchain, vendor
from heddle.sw.flow.toolchain import TOOLCHAINS, BuildError


class Blinker(BoardTop):
    """A board's pins and its PLL, and a counter where the accelerator would be."""

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        clock, locked = add_pll(m, self.board.pll, self.clk, dividers_of(self.board, self.build))
        count = Signal(24)
        m.d.sync += count.eq(count + locked)
        m.d.comb += [ClockSignal().eq(clock), self.tx.eq(self.rx)]
        m.d.comb += [self.busy.eq(count[23]), self.error.eq(count[22])]
        m.d.comb += [getattr(self, port).eq(1) for port in held_high(self.board)]
        return m


FAMILIES = {
    # One with an output of its own for the PLL's loop, and what it makes in MHz.
    Family.ECP5: ("ulx3s-85f", "fp16_8x8", 80),
    Family.ICE40: ("icebreaker", "int8_2x2", 21),
    Family.GOWIN: ("tang-nano-9k", "int8_2x2", 36),
}


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
    """Every step but the accelerator: a counter on a board's pins, behind its PLL."""
    monkeypatch.setenv("HEDDLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        bitstream, "generate", lambda board, build: convert(Blinker(board, build), "top", Library())
    )
    name, config, mhz = FAMILIES[family]
    chosen = board(name)
    build = replace(chosen.build(config), floorplan=None, options=())
    steps = []
    report = bitstream.make(chosen, build, tmp_path, (1,), steps.append)
    assert report.mhz == mhz and report.fmax > report.mhz and report.met
    assert report.seeds == {"1": report.fmax}
    data = (tmp_path / report.file).read_bytes()
    assert len(data) > 10_000
    assert set(report.tools) >= {"pyosys", TOOLCHAINS[family].router}
    # nextpnr reckons the clock that it checks from the PLL's own parameters, but for Gowin's.
    log = tmp_path / config / "nextpnr-1.log"
    told = log.read_text()
    assert f"(PASS at {mhz:.2f} MHz)" in told and "out of legal range" not in told
    if family is not Family.GOWIN:
        assert f"Derived frequency constraint of {mhz:.1f} MHz for net pll_clk" in told
    # What was placed and routed once is not again, and the file is the same.
    log.unlink()
    again = bitstream.make(chosen, build, tmp_path, (1,))
    assert again == report and not log.exists()
    assert (tmp_path / report.file).read_bytes() == data


@pytest.mark.parametrize(
    "highest, tried, best", [((90, 110, 120), (1, 2), 2), ((70, 90, 80), (1, 2, 3), 2)]
)
def test_seeds_are_tried_until_timing_is_met(tmp_path, monkeypatch, highest, tried, best):
    """The first one that meets 100 MHz is kept; the best one if none does, and that is told."""
    found = tmp_path / "found"
    found.mkdir()
    # The last one is a cell that nextpnr places and counts none of: no table can show its share.
    cells = {"LUT4": (7, 20), "DSP": (0, 4), "DUMMY_CELL": (12, 0)}
    counted = {kind: {"used": u, "available": a} for kind, (u, a) in cells.items()}
    used = {"utilization": counted, "critical_paths": []}
    seeds = []

    def route(tools, board, build, work, mhz, seed):
        seeds.append(seed)
        fmax = {"fmax": {"clk": {"achieved": highest[seed - 1]}}}
        for name in bitstream.KEPT:
            (found / name).write_text(json.dumps(fmax | used | {"seed": seed}))
        kept = tmp_path / str(seed)
        shutil.copytree(found, kept)
        return kept

    def make(*arguments, multiplexers):
        assert multiplexers  # which only large arrays are mapped without
        (found / "netlist.json").write_text("{}")
        return found

    chosen = board("ulx3s-85f")
    build = replace(chosen.build("int8_4x4"), floorplan=None)
    monkeypatch.setattr(bitstream, "generate", lambda board, build: "module top(a);\nendmodule\n")
    monkeypatch.setattr("heddle.sw.flow.synthesis.synthesise", make)
    monkeypatch.setattr(bitstream, "_route", route)
    monkeypatch.setattr(bitstream, "_critical_path", lambda timing: [])
    monkeypatch.setattr("heddle.sw.flow.toolchain.run", lambda *_: None)
    report = bitstream.make(chosen, build, tmp_path / "out", (1, 2, 3))
    assert tuple(seeds) == tried and report.seed == best
    assert report.met == (highest[best - 1] >= 100) and report.fmax == highest[best - 1]
    assert report.used == {"LUT4": (7, 20)}


def test_missed_timing_is_an_exit_status(tmp_path, monkeypatch):
    values = {"mhz": 100.0, "fmax": 90.0, "seed": 1, "seeds": {"1": 90.0}, "used": {}, "file": "x"}
    values |= {"configuration": "int8_4x4", "board": "ulx3s-85f", "title": "ULX3S"}
    for met, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(
            bitstream, "make", lambda *_, met=met: SimpleNamespace(**values, met=met)
        )
        done = CliRunner().invoke(
            cli.app, ["bitstream", "--board", "ulx3s-85f", "--out", str(tmp_path)]
        )
        assert done.exit_code == code, done.output


def test_the_router_is_told_the_clock_whole():
    tools = TOOLCHAINS[Family.ECP5]
    told = tools.route("top.lpf", board("ulx3s-85f"), 550 / 7, 1)
    assert told[told.index("--freq") + 1] == "78.5714286"


@pytest.mark.parametrize("name", [*BOARDS, "arty-a7-100", "arty-a7-35"])
def test_a_rate_is_chosen_at_build(tmp_path, monkeypatch, name):
    """What is made with it lies beside the usual, and is what is loaded."""
    made = []

    def make(chosen, build, folder, *rest, **options):
        made.append((chosen.baud, folder / bitstream.name_of(chosen, build)))
        raise BuildError("enough")

    def write(chosen, folder):
        made.append((chosen.baud, folder))
        raise BuildError("enough")

    monkeypatch.setattr(bitstream, "make", make)
    monkeypatch.setattr(vendor, "write", write)

    def told(command, *more):
        arguments = [command, "--board", name, "--out", str(tmp_path), *more]
        return str(CliRunner().invoke(cli.app, arguments).exception)

    if name in BOARDS:
        config = board(name).builds[0].config.name
        usual, slow = tmp_path / name / config, tmp_path / name / f"{config}-115200"
        missing = f"there is no {slow}/{slow.name}."
    else:
        usual, slow = tmp_path / name, tmp_path / f"{name}-115200"
        missing = f"there is no {slow}/heddle.bit"
    assert told("bitstream") == told("bitstream", "--baud", "115200") == "enough"
    assert made == [(1_000_000, usual), (115_200, slow)]
    advice = told("load", "--baud", "115200")
    assert advice.startswith(missing) and f"BOARD={name} BAUD=115200" in advice
    assert told("load", "--baud", "1000000") == told("load") != advice


@pytest.mark.parametrize(
    ("options", "seeds"), [([], [1, 2, 3]), (["--seed", "3"], [3, 4, 5]), (["--seeds", "1"], [1])]
)
def test_placements_that_are_tried(monkeypatch, options, seeds):
    tried = []

    def make(board, build, folder, seeds, on_step):
        tried.extend(seeds)
        raise BuildError("enough")

    monkeypatch.setattr(bitstream, "make", make)
    CliRunner().invoke(cli.app, ["bitstream", "--board", "icebreaker", *options])
    assert tried == seeds


@pytest.mark.parametrize("name", BOARDS)
def test_every_build_can_be_slower(name):
    """115,200 baud: within what both ends of a line may be off."""
    for build in board(name).builds:
        hz = dividers_of(board(name), build).output_hz
        assert abs(hz / divisor(hz, 115_200) / 115_200 - 1) < 0.005


def test_a_rate_that_cannot_be_is_refused(tmp_path):
    def told(name, baud):
        arguments = ["bitstream", "--board", name, "--out", str(tmp_path), "--baud", baud]
        return CliRunner().invoke(cli.app, arguments)

    refused = told("icebreaker", "9000000").exception
    assert isinstance(refused, ConfigError) and "cannot make 9,000,000 baud" in str(refused)
    for name in ("vcu1525", "pynq-z2"):
        refused = told(name, "115200").exception
        assert isinstance(refused, ConfigError) and "has no serial line" in str(refused)
    assert told("icebreaker", "0").exit_code == 2


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
    if name != "pynq-z2":
        assert f"make bitstream BOARD={name} where vivado" in str(run().exception)
        file.parent.mkdir()
        file.write_text("bits")
        done = run()
        assert done.exit_code == 0
        given = (tmp_path / "openFPGALoader.arguments").read_text().split()
        known = {"arty-a7-100": "arty_a7_100t", "arty-a7-35": "arty_a7_35t", "vcu1525": "vcu1525"}
        assert given == ["-b", known[name], str(file)]
        assert ("restart the computer" in done.output) == (name == "vcu1525")
    else:
        refused = run().exception
        assert isinstance(refused, BuildError) and "heddle.hwh" in str(refused)
