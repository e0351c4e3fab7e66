"""The selector on ECP5: what it costs with the slices' own multiplexers, and that Yosys proves
what it makes of them equal to the source, over all inputs and all time."""

import pytest

from heddle.hw import verilog
from heddle.hw.array.selector import Selector
from heddle.hw.config import Config
from heddle.hw.formats import FP16, INT4, INT8
from heddle.sw.flow import synthesis
from heddle.sw.flow.synthesis import Family, SynthesisError

PROOF = (
    "read_verilog both.v",
    # The models declare some cells of Yosys' twice.
    "read_verilog -overwrite models.v",
    "miter -equiv source netlist miter",
    "hierarchy -top miter",
    "proc",
    "flatten",
    # Every register is at an output, or shows there a cycle later.
    "sat -verify -tempinduct -maxsteps 4 -prove trigger 0 miter",
)
WIDE = Config("wide", 2, 2, INT4, group=16)


def source(config: Config) -> str:
    return verilog.convert(Selector(config), "source")


def prove(config: Config, folder):
    """Raises `SynthesisError` if a cycle can be told in which an output differs."""
    text = source(config)
    netlist = synthesis.netlist(text, "source")
    assert "L6MUX21" in netlist
    both = text + netlist.replace("module source(", "module netlist(")
    (folder / "both.v").write_text(both)
    (folder / "models.v").write_text(synthesis.cell_models())
    synthesis._run("yosys", synthesis.YOSYS, PROOF, folder)


@pytest.mark.parametrize("config", [Config("fp16", 2, 2, FP16), WIDE], ids=lambda c: c.name)
def test_the_netlist_is_its_source(tmp_path, config):
    prove(config, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("lut_gh (.A(G), .B(H)", "lut_gh (.A(H), .B(G)"),
        ("16'hCACA)) lut_ef", "16'hACAC)) lut_ef"),
        ("lut_cd (.A(C), .B(D), .C(S)", "lut_cd (.A(C), .B(D), .C(T)"),
        (".BLUT(ab), .ALUT(cd)", ".BLUT(cd), .ALUT(ab)"),
        (".C0(T), .Z(efgh)", ".C0(U), .Z(efgh)"),
        (".D0(abcd), .D1(efgh)", ".D0(efgh), .D1(abcd)"),
        (".D0(low), .D1(high)", ".D0(high), .D1(low)"),
        (".SD(V)", ".SD(U)"),
    ],
)
def test_a_wrong_mapping_is_refuted(tmp_path, monkeypatch, right, wrong):
    mapping = synthesis.MULTIPLEXERS.read_text()
    assert mapping.count(right) == 1
    edited = tmp_path / synthesis.MULTIPLEXERS.name
    edited.write_text(mapping.replace(right, wrong))
    monkeypatch.setattr(synthesis, "MULTIPLEXERS", edited)
    with pytest.raises(SynthesisError, match="proof did fail"):
        prove(WIDE, tmp_path)


@pytest.mark.parametrize(
    ("config", "bits"),
    [(Config("int8", 2, 2, INT8), 8), (Config("fp16", 2, 2, FP16), 18), (WIDE, 4)],
    ids=["int8", "fp16", "wide"],
)
def test_two_inputs_to_a_lut(config, bits):
    """M / 2 LUT4s a bit, and what joins them two by two."""
    cells = synthesis.area(source(config), "source").cells
    assert cells["LUT4"] == bits * config.group // 2
    assert cells["PFUMX"] == bits * config.group // 4
    assert cells["L6MUX21"] == bits * (config.group // 4 - 1)


def test_other_families_have_their_own_cells():
    cells = synthesis.area(source(Config("c", 2, 2, INT8)), "source", Family.XC7).cells
    assert cells["LUT6"] == 16 and "LUT4" not in cells
