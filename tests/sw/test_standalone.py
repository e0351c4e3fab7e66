"""The testbench beside the Verilog passes on the right device, and fails on every wrong one."""

import re
import subprocess
from fractions import Fraction

import pytest

from heddle.hw import verilog
from heddle.hw.config import Config, preset
from heddle.hw.formats import INT8
from heddle.sim.engines import verilator
from heddle.sw import cli
from heddle.sw.flow import standalone

CONFIG = Config("two", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
WRONG = {
    "subtracts": (
        r"assign (\S+ ) = (\$signed\(sum_0\)) \+ (\$signed\(product\));",
        r"assign \1 = subtracts ? \2 - \3 : \2 + \3;",
    ),
    "never_ends": (
        r"assign (m_axis_tlast) = (.*);",
        r"assign \1 = \2 & ~never_ends;",
    ),
    "takes_nothing": (
        r"assign (s_axis_tready) = (.*);",
        r"assign \1 = \2 & ~takes_nothing;",
    ),
    "offers_always": (
        r"assign (m_axis_tvalid) = (.*);",
        r"assign \1 = \2 | offers_always;",
    ),
}
"""Mutants by the option that switches them on: what of the Verilog becomes what."""


def built(texts: dict[str, str]):
    """The testbench as a program, by Verilator."""
    return verilator.build(
        verilator.Build(
            verilog=texts["two.v"] + texts["two_tb.v"],
            top="heddle_tb",
            sources=(),
            output="bench",
            verilate=("--timing", "--main", "--exe"),
            compile=("-std=c++20", "-fcoroutines", "-DVM_TIMING=1"),
            optimise="-O0",
        )
    )


def simulate(program, folder, *options: str) -> tuple[int, str]:
    """The program's exit status and the testbench's verdict."""
    done = subprocess.run(
        [program, *options], cwd=folder, capture_output=True, text=True, timeout=120
    )
    verdict = re.search(r"^(PASS|FAIL): .*", done.stdout, re.M)
    return done.returncode, verdict[0] if verdict else done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The testbench with a device that has every mutant, switched off; and its folder."""
    folder = tmp_path_factory.mktemp("standalone")
    texts = verilog.texts(CONFIG) | standalone.texts(CONFIG)
    for name, (right, wrong) in WRONG.items():
        switch = f'  wire {name};\n  assign {name} = |$test$plusargs("{name}");\n'
        module = re.compile(
            rf"^module (?:(?!^endmodule).)*?\);\n(?=(?:(?!^endmodule).)*{right})", re.M | re.S
        )
        texts["two.v"], found = module.subn(lambda m, s=switch: m[0] + s, texts["two.v"])
        assert found == 1, name
        texts["two.v"], found = re.subn(right, wrong, texts["two.v"])
        assert found == 1, name
    for name, text in texts.items():
        (folder / name).write_text(text)
    return built(texts), folder


@pytest.mark.parametrize("seed", [1, 2, 77])
def test_the_right_device_passes(bench, seed):
    code, verdict = simulate(*bench, f"+seed={seed}")
    assert (code, verdict[:5]) == (0, "PASS:"), verdict


@pytest.mark.parametrize(
    ("mutant", "words"),
    [
        ("subtracts", "beat .* of the responses is"),
        ("never_ends", "beat 3 of the responses is 0.*, not 1"),
        ("takes_nothing", r"nothing for \d+ cycles; 0 of \d+ beats in, 0 of \d+ out"),
        ("offers_always", "beat .* of the responses is"),
    ],
)
def test_a_wrong_device_fails(bench, mutant, words):
    code, verdict = simulate(*bench, f"+{mutant}")
    assert code != 0 and re.match(f"FAIL: {words}", verdict), verdict


def test_another_vector_fails(bench, tmp_path):
    program, folder = bench
    for path in folder.glob("*.hex"):
        (tmp_path / path.name).write_text(path.read_text())
    lines = (tmp_path / "two_responses.hex").read_text().split()
    # A number of the last product, by its lowest bit.
    lines[-5] = f"{int(lines[-5], 16) ^ 1:0{len(lines[-5])}x}"
    (tmp_path / "two_responses.hex").write_text("\n".join(lines))
    code, verdict = simulate(program, tmp_path)
    assert code != 0 and verdict.startswith(f"FAIL: beat {len(lines) - 5} of"), verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_presets_pass_as_the_command_writes_them(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["heddle", "verilog", "--preset", name, "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    texts = {"two.v": (tmp_path / f"{name}.v").read_text()}
    texts["two_tb.v"] = (tmp_path / f"{name}_tb.v").read_text()
    code, verdict = simulate(built(texts), tmp_path)
    assert (code, verdict[:5]) == (0, "PASS:"), verdict


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_vectors_have_something_in_them(name):
    """Results of every product are there, and few of them are zero."""
    config = preset(name)
    texts = standalone.texts(config, "other")
    assert list(texts) == ["other_tb.v", "other_commands.hex", "other_responses.hex"]
    bits = 8 * config.stream_bytes
    words = [int(line, 16) for line in texts["other_responses.hex"].split()]
    ends = sum(word >> bits for word in words)
    assert ends == sum(int(line, 16) >> bits for line in texts["other_commands.hex"].split())
    data = [word & ((1 << bits) - 1) for word in words]
    assert Fraction(sum(word != 0 for word in data), len(data)) > Fraction(1, 3)
