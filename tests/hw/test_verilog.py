"""The Verilog of a preset and the description beside it agree, two go into one design, and
Verilator's lint says nothing that is not waived with its reason."""

import json
import os
import re
import subprocess

import pytest

from heddle.hw import verilog
from heddle.hw.config import Config, ConfigError, preset
from heddle.hw.formats import INT8
from heddle.hw.isa.registers import ADDRESS, MAGIC
from heddle.hw.lib.library import Library
from heddle.hw.lib.verilog_lint import WAIVERS, waivers
from heddle.hw.lib.verilog_names import check_names
from heddle.hw.memory_top import MemoryAccelerator
from heddle.hw.serial_top import SerialAccelerator
from heddle.sim.engines import verilator

SMALLEST = Config("two", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
MODULE = re.compile(r"^module (\\\S+ |\w+) ?\(", re.M)


@pytest.fixture(scope="module")
def written():
    texts = verilog.texts(preset("tiny"))
    assert list(texts) == ["tiny.v", "tiny.json", "tiny.vlt"]
    return texts["tiny.v"], json.loads(texts["tiny.json"])


def test_ports_are_those_of_the_module(written):
    text, description = written
    top = text[text.index(f"module {description['top']}(") :]
    top = top[: top.index("endmodule")]
    ports = {
        name: {"direction": direction, "width": int(high) + 1 if high else 1}
        for direction, high, name in re.findall(
            r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", top, re.M
        )
    }
    described = {
        port["name"]: {"direction": port["direction"], "width": port["width"]}
        for port in description["ports"]
    }
    assert described == ports
    assert ports["s_axis_tdata"] == {"direction": "input", "width": 64}


def test_registers_and_configuration(written):
    _, description = written
    registers = {register["name"]: register for register in description["registers"]}
    assert {name: register["address"] for name, register in registers.items()} == ADDRESS
    assert registers["magic"]["value"] == MAGIC
    assert "value" not in registers["status"]
    assert description["configuration"] == preset("tiny").describe()


def test_the_text_stands_alone(written):
    """Every module that is instantiated is there, and none twice."""
    text, _ = written
    modules = [m.strip() for m in MODULE.findall(text)]
    instances = {m.strip() for m in re.findall(r"^  (\\\S+ |\w+) +(?:\\\S+ |\w+) \($", text, re.M)}
    assert len(modules) == len(set(modules))
    assert "ProcessingElement" in instances
    assert instances <= set(modules)


def test_two_configurations_go_into_one_design(written):
    texts = verilog.texts(SMALLEST, "left", "left_")
    assert list(texts) == ["left.v", "left.json", "left.vlt"]
    described = json.loads(texts["left.json"])
    assert (described["top"], described["prefix"]) == ("left", "left_")
    names = {m.strip() for m in MODULE.findall(texts["left.v"])}
    other = {m.strip() for m in MODULE.findall(written[0])}
    assert {"left", r"\left.core", "left_ProcessingElement"} <= names
    assert {"heddle", r"\heddle.core", "ProcessingElement"} <= other
    assert not names & other


@pytest.mark.parametrize(
    ("top", "prefix", "reason"),
    [
        ("1st", "", "cannot be called '1st'"),
        ("a b", "", "cannot be called"),
        ("", "", "cannot be called ''"),
        ("module", "", "no keyword"),
        ("first", "9_", "cannot begin with '9_'"),
        ("first", "a.", "cannot begin with"),
    ],
)
def test_names_that_are_none_are_refused(top, prefix, reason):
    with pytest.raises(ConfigError, match=reason):
        verilog.generate(SMALLEST, top, prefix)


def test_the_top_is_called_as_no_part_is():
    check_names("x_Bank", "x_", ["x_Bank_1"])
    with pytest.raises(ConfigError, match="called 'x_Bank' already"):
        check_names("x_Bank", "x_", ["x_Bank_1", "x_Bank"])


def lint(folder, text: str, top: str, waived: bool = True) -> str:
    """What `verilator --lint-only -Wall` says of `text`."""
    (folder / "design.v").write_text(text)
    (folder / "design.vlt").write_text(waivers("design.v"))
    files = [folder / "design.v"]
    done = subprocess.run(
        [verilator.root() / "bin" / "verilator_bin", "--lint-only", "-Wall", "--quiet"]
        + ["--top-module", top, *([folder / "design.vlt"] if waived else []), *files],
        env=os.environ | {"VERILATOR_ROOT": str(verilator.root())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == bool(done.stderr), done.stderr
    return done.stdout + done.stderr


def memory(library: Library):
    return MemoryAccelerator(SMALLEST, library)


def serial(library: Library):
    return SerialAccelerator(SMALLEST, 50e6, 1_000_000, library)


@pytest.mark.parametrize(
    "made",
    ["tiny", serial, *(pytest.param(made, marks=pytest.mark.slow) for made in ("small", memory))],
)
def test_lint_says_nothing_that_is_not_waived(made, written, tmp_path):
    if isinstance(made, str):
        text = written[0] if made == "tiny" else verilog.generate(preset(made))
    else:
        library = Library()
        text = verilog.convert(made(library), "heddle", library)
    assert lint(tmp_path, text, "heddle") == ""


def test_every_waiver_is_needed(written, tmp_path):
    said = lint(tmp_path, written[0], "heddle", waived=False)
    for rule, match, reason in WAIVERS:
        pattern = re.escape(match).replace(r"\*", ".*")
        assert re.search(rf"^%Warning-{rule}: [^ ]+ {pattern}", said, re.M), (rule, match)
        assert reason.endswith(".") and f"// {reason}\nlint_off -rule {rule}" in waivers("x.v")


def test_nothing_of_no_bits_is_left(written):
    assert "[-1:0]" not in written[0]
