"""Synthesis and its errors, on modules whose cost is known."""

import pytest

from heddle.sw.flow import synthesis
from heddle.sw.flow.synthesis import Area, Family, SynthesisError

ADDER = """
module adder(input clk, input [7:0] a, b, output reg [7:0] o);
  always @(posedge clk) o <= a + b;
endmodule
"""
MULTIPLIER = (
    "module mul(input signed [15:0] a, b, output signed [31:0] o); assign o = a * b; endmodule"
)


def test_area_of_an_adder():
    area = synthesis.area(ADDER, "adder")
    # Two bits to a CCU2C, a carry in or out may take another one.
    assert area.cells["CCU2C"] in (4, 5)
    assert (area.lut, area.ff, area.dsp) == (2 * area.cells["CCU2C"], 8, 0)


@pytest.mark.parametrize("family", Family)
def test_a_multiplier_takes_a_dsp(family):
    area = synthesis.area(MULTIPLIER, "mul", family)
    assert (area.ff, area.dsp) == (0, 1)


@pytest.mark.parametrize("family", [Family.XC7, Family.XCUP])
def test_an_estimate_counts_every_instance(family):
    pair = """
    module pair(input signed [15:0] a, b, output signed [31:0] o, p);
      mul left(.a(a), .b(b), .o(o));
      mul right(.a(b), .b(b), .o(p));
    endmodule
    """
    found = synthesis.estimate(MULTIPLIER + pair, "pair", family)
    assert (found.dsp, found.ff, found.ram) == (2, 0, 0)


def test_half_a_block_ram():
    assert Area({"RAMB36E2": 3, "RAMB18E2": 1}, Family.XCUP).ram == 3.5
    assert Area({"DP16KD": 4}, Family.ECP5).ram == 4


def test_options_reach_the_tool():
    assert synthesis.area(MULTIPLIER, "mul", options=["-nodsp"]).dsp == 0


def test_distributed_ram_and_carries_count_as_the_luts_they_displace():
    cells = {"LUT4": 3, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 5, "PFUMX": 9}
    assert Area(cells, Family.ECP5).lut == 3 + 4 + 6
    cells = {"LUT6": 3, "LUT2": 1, "RAM32M": 1, "CARRY4": 7, "MUXF7": 2, "FDRE": 4, "FDSE": 1}
    area = Area(cells, Family.XCUP)
    assert (area.lut, area.ff) == (8, 5)


def test_the_netlist_is_verilog_of_cells():
    text = synthesis.netlist(ADDER, "adder")
    assert "module adder(" in text and "CCU2C" in text and "+" not in text.split("*/")[-1]
    models = synthesis.cell_models()
    assert "module CCU2C" in models and "module TRELLIS_FF" in models and "`include" not in models


@pytest.mark.parametrize(
    ("text", "top", "words"),
    [
        ("module m; nonsense endmodule", "m", "yosys failed.*syntax error"),
        (ADDER, "absent", "yosys failed.*absent"),
    ],
)
def test_a_failure_says_what_the_tool_said(monkeypatch, tmp_path, text, top, words):
    monkeypatch.setenv("HEDDLE_CACHE", str(tmp_path))
    with pytest.raises(SynthesisError, match=f"(?s){words}"):
        synthesis.area(text, top)
    assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == []


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(synthesis.util, "find_spec", lambda name: None)
    synthesis._package.cache_clear()
    with pytest.raises(SynthesisError, match=r"pip install heddle\[fpga\]"):
        synthesis.cell_models()


def test_place_and_route():
    counter = """
    module counter(input clk, input [7:0] a, output reg [7:0] o);
      always @(posedge clk) o <= o + a;
    endmodule
    """
    routed = synthesis.route(counter, "counter")
    assert 100 < routed.fmax < 1000
    assert routed.cells["TRELLIS_FF"] == 8
    with pytest.raises(SynthesisError, match="no path between registers"):
        synthesis.route(ADDER, "adder")
