"""The save file beside a waveform names signals that are there, of their widths."""

import re

import pytest

from heddle.hw import verilog
from heddle.hw.config import Accumulation, Config
from heddle.hw.formats import INT8
from heddle.sim.engines import wave_view
from heddle.sw.transports.simulated import SimulatedTransport

SIZES = {"activation_groups": 16, "weight_slots": 64, "schedule_records": 16}
CONFIG = Config("two", 2, 2, INT8, **SIZES)
OTHERS = [
    Config("one", 1, 1, INT8, compact=True, runs_ahead=2, **SIZES),
    Config(
        "f", 2, 2, accumulation=Accumulation.FP32, interleave=5, columns_per_epilogue=2, **SIZES
    ),
]
EVERY = [f"heddle.heddle.{path}" for paths in wave_view.VIEW.values() for path in paths]


def in_header(path) -> set[str]:
    """Full names of the signals in a VCD, with their ranges (IEEE 1364-2005, clause 18.2.3)."""
    names, scopes = set(), []
    for line in path.read_text().partition("$enddefinitions")[0].splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            scopes.append(words[2])
        elif words[:1] == ["$upscope"]:
            scopes.pop()
        elif words[:1] == ["$var"]:
            names.add(".".join([*scopes, "".join(words[4:-1])]))
    return names


def shown(save: str) -> list[str]:
    return [line for line in save.splitlines() if re.match(r"\w", line)]


@pytest.mark.slow
def test_every_signal_of_the_save_file_is_in_the_waveform(tmp_path):
    trace = tmp_path / "out.vcd"
    device = SimulatedTransport(CONFIG, trace=trace, optimise="-O0")
    device.read_register(0)
    device.close()
    save = (tmp_path / "out.gtkw").read_text()
    assert f'[dumpfile] "{trace}"' in save
    assert [line[1:] for line in save.splitlines() if line[0] == "-"] == list(wave_view.VIEW)
    signals = shown(save)
    assert [re.sub(r"\[\d+:0\]$", "", name) for name in signals] == EVERY
    assert set(signals) <= in_header(trace)
    # What a user has made of it stays.
    (tmp_path / "out.gtkw").write_text("mine")
    SimulatedTransport(CONFIG, trace=trace, optimise="-O0").close()
    assert (tmp_path / "out.gtkw").read_text() == "mine"


@pytest.mark.parametrize("config", OTHERS, ids=lambda c: c.name)
def test_every_configuration_has_the_signals(config):
    found = wave_view.names(verilog.generate(config), "heddle")
    signals = [name for names in found.values() for name in names]
    assert [re.sub(r"\[\d+:0\]$", "", name) for name in signals] == EVERY


def test_a_netlist_shows_what_it_has():
    text = "module heddle(s_axis_tvalid);\n  input s_axis_tvalid;\nendmodule\n"
    assert wave_view.names(text, "heddle") == {"commands in": ["heddle.heddle.s_axis_tvalid"]}
