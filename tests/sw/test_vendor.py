"""Projects for a vendor's tools: written for a small array, their scripts run in Tcl.

What Vivado would be asked is recorded and compared with the blocks' descriptions. Vivado itself
takes no part.
"""

import json
import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree as xml

import pytest

from heddle.hw import verilog
from heddle.hw.config import preset
from heddle.hw.platforms import vendor as boards
from heddle.hw.platforms.vendor import VENDOR_BOARDS, System
from heddle.sw import cli
from heddle.sw.flow import ipxact, synthesis, vendor
from heddle.sw.flow.synthesis import Area, Family
from heddle.sw.flow.toolchain import BuildError

tkinter = pytest.importorskip("tkinter", reason="Python without Tcl")
SPIRIT = f"{{{ipxact.SPIRIT}}}"


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """The projects of all boards, with one small array: its Verilog is written only once."""
    root = tmp_path_factory.mktemp("projects")
    convert, texts = verilog.convert, {}

    def once(component, name, library):
        if name not in texts:
            texts[name] = convert(component, name, library)
        return texts[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verilog, "convert", once)
        for board in VENDOR_BOARDS.values():
            vendor.write(replace(board, config=preset("tiny")), root / board.name)
    return root


class Vivado:
    """Tcl, in which every command that is not Tcl's own is recorded."""

    def __init__(self, progress: str = "100%", slack: str = "0.25"):
        self.calls: list[tuple[str, ...]] = []
        self._answers = {
            "PROGRESS": progress,
            "SLACK": slack,
            "REQUIREMENT": "14.000",
            "CONFIG.PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ": "71.428574",
        }
        self.said: list[str] = []
        self._tcl = tkinter.Tcl()
        self._tcl.createcommand("unknown", self._record)
        self._tcl.createcommand("puts", lambda *words: self.said.append(words[-1]))

    def _record(self, *words: str) -> str:
        self.calls.append(words)
        if words[0] == "get_property":
            return self._answers[words[1]]
        return words[-1] if words[0].startswith("get_") else f"<{words[0]}>"

    def run(self, script) -> "Vivado":
        self._tcl.evalfile(str(script))
        return self

    def of(self, *commands: str) -> list[tuple[str, ...]]:
        """The arguments of all calls of `commands`."""
        return [words[1:] for words in self.calls if words[0] in commands]


def run(folder, **answers) -> Vivado:
    top = re.search(r"^set top (\w+)$", (folder / "system.tcl").read_text(), re.M).group(1)
    bitstream = folder / "vivado/heddle.runs/impl_1" / f"{top}.bit"
    bitstream.parent.mkdir(parents=True, exist_ok=True)
    bitstream.write_text("bits")
    return Vivado(**answers).run(folder / "build.tcl")


def interfaces(folder) -> set[str]:
    root = xml.parse(folder / "ip" / vendor.MODULE / "component.xml").getroot()
    buses = root.findall(f"{SPIRIT}busInterfaces/{SPIRIT}busInterface/{SPIRIT}name")
    return {bus.text for bus in buses}


BLOCK_DESIGNS = [b.name for b in VENDOR_BOARDS.values() if b.system is not System.SERIAL]
SERIAL = [b.name for b in VENDOR_BOARDS.values() if b.system is System.SERIAL]


@pytest.mark.parametrize("name", BLOCK_DESIGNS)
def test_block_design_joins_what_there_is(projects, name):
    vivado = run(projects / name)
    cells = [words[-1] for words in vivado.of("create_bd_cell")]
    assert len(cells) == len(set(cells)) and "heddle" in cells
    for target in vivado.of("get_bd_cells"):
        assert target[0] in cells
    buses = [pin for pins in vivado.of("connect_bd_intf_net") for pin in pins]
    nets = [pin for pins in vivado.of("connect_bd_net") for pin in pins]
    outside = [words[-1] for words in vivado.of("make_bd_intf_pins_external")]
    assert {pin.partition("/")[0] for pin in buses + nets + outside} == set(cells)
    assert len(buses) == len(set(buses)), "a bus goes from one pin to one other"
    assert not set(buses) & set(outside)
    ours = [pin.partition("/")[2] for pin in buses + nets if pin.startswith("heddle/")]
    assert sorted(ours) == sorted(interfaces(projects / name))
    # By the kind of connection: buses by their names, clock and reset alone.
    assert {"heddle/s_axil", "heddle/m_axi"} <= set(buses)
    assert {"heddle/clk", "heddle/rst"} <= set(nets)


@pytest.mark.parametrize("name", BLOCK_DESIGNS)
def test_addresses_are_those_of_the_description(projects, name):
    root = xml.parse(projects / name / "ip" / vendor.MODULE / "component.xml").getroot()
    space = root.find(f"{SPIRIT}addressSpaces/{SPIRIT}addressSpace/{SPIRIT}name").text
    mapping = root.find(f"{SPIRIT}memoryMaps/{SPIRIT}memoryMap")
    block = mapping.find(f"{SPIRIT}addressBlock")
    segment = f"heddle/{mapping.find(f'{SPIRIT}name').text}/{block.find(f'{SPIRIT}name').text}"
    vivado = run(projects / name)
    for words in vivado.of("get_bd_addr_spaces", "get_bd_addr_segs"):
        assert not words[0].startswith("heddle/") or words[0] in (f"heddle/{space}", segment)
    assert vivado.of("assign_bd_address", "validate_bd_design")


def test_card_and_driver_agree_on_the_memory(projects):
    from heddle.sw.transports.memories import XDMA_SIZE

    segments = run(projects / "vcu1525").of("create_bd_addr_seg")
    sizes = {words[-1]: (words[1], words[3]) for words in segments}
    assert sizes["host_memory"] == sizes["device_memory"] == (f"{XDMA_SIZE >> 20}M", "0x0")
    root = xml.parse(projects / "vcu1525/ip" / vendor.MODULE / "component.xml").getroot()
    size = int(next(root.iter(f"{SPIRIT}addressBlock")).find(f"{SPIRIT}range").text)
    assert sizes["host_registers"] == (f"{size >> 10}K", "0x0")


def test_card_and_driver_agree_on_external_memory(projects):
    from heddle.sw.transports.memories import XDMA_EXTERNAL, XDMA_EXTERNAL_SIZE

    vivado = run(projects / "vcu1525")
    segments = {words[-1]: (words[1], words[3]) for words in vivado.of("create_bd_addr_seg")}
    wanted = f"{XDMA_EXTERNAL_SIZE >> 30}G", f"{XDMA_EXTERNAL:#x}"
    assert segments["host_dram"] == segments["device_dram"] == wanted
    board = VENDOR_BOARDS["vcu1525"]
    assert 1 << board.config.external_bits == XDMA_EXTERNAL_SIZE
    dram = settings(vivado, "dram")
    # A beat of the accelerator is a beat of the DRAM's; its DIMM has ECC, and so no data mask.
    assert int(dram["C0.DDR4_AxiDataWidth"]) == 8 * board.config.stream_bytes
    assert int(dram["C0.DDR4_AxiAddressWidth"]) == board.config.external_bits
    assert (dram["C0.DDR4_Ecc"], dram["C0.DDR4_DataMask"]) == ("true", "NONE")
    assert dram["C0_DDR4_BOARD_INTERFACE"] == "ddr4_sdram_c1"
    assert ("board_part", board.board_part, "<current_project>") in vivado.of("set_property")


def test_block_of_the_zynq_has_the_drivers_name(projects):
    from heddle.sw.transports.memories import PYNQ_BLOCK

    assert PYNQ_BLOCK in [words[-1] for words in run(projects / "pynq-z2").of("create_bd_cell")]


@pytest.mark.parametrize("name", SERIAL)
def test_serial_boards_have_every_port_on_a_pin(projects, name):
    folder = projects / name
    vivado = run(folder)
    assert vivado.of("add_files")[-1][-1] == (folder / "top.v").as_posix()
    top = (folder / "top.v").read_text()
    ports = re.search(r"module top\(([^)]*)\)", top).group(1).replace(" ", "").split(",")
    wires = Vivado().run(folder / f"{name}.xdc")
    pins = {w[2]: w[1] for w in wires.of("set_property") if w[0] == "PACKAGE_PIN"}
    assert sorted(pins) == sorted(ports)
    assert len(set(pins.values())) == len(ports)
    assert (pins["clk"], pins["rx"], pins["tx"]) == ("E3", "A9", "D10")
    assert {w[2] for w in wires.of("set_property") if w[0] == "IOSTANDARD"} == set(ports)
    assert ("-name", "clk", "-period", "10.000", "clk") in wires.of("create_clock")
    # Vivado times whatever is not told to be free: what people look at, and what is sampled.
    free = {(words[0], words[1]) for words in wires.of("set_false_path")}
    assert free == {("-from", "rx")} | {
        ("-to", port) for port in ports if port not in ("clk", "rx")
    }
    assert "PLLE2_BASE" in top and "BUFG" in top


def settings(vivado: Vivado, cell: str) -> dict[str, str]:
    """The parameters that are given to `cell` of the block design."""
    found = {}
    for words in vivado.of("set_property"):
        if words[-1] == cell:
            pairs = words[0].split() if words[0] == "-dict" else words[:-1]
            text = words[1] if words[0] == "-dict" else " ".join(pairs)
            parts = tkinter.Tcl().splitlist(text)
            found |= dict(zip(parts[::2], parts[1::2], strict=True))
    return {name.removeprefix("CONFIG."): value for name, value in found.items()}


def test_the_card_is_described_as_its_board_is(projects):
    """AMD's board files for the VCU1525; for the memory, public designs with UltraRAM."""
    vivado = run(projects / "vcu1525")
    lanes = settings(vivado, "xdma")
    assert lanes["en_gt_selection"] == "true" and lanes["select_quad"] == "GTY_Quad_227"
    assert lanes["pcie_blk_locn"] == "X1Y2" and lanes["pl_link_cap_max_link_width"] == "X8"
    memory = settings(vivado, "cells")
    assert memory["PRIM_type_to_Implement"] == "URAM" and memory["READ_LATENCY_A"] == "3"
    assert memory["Assume_Synchronous_Clk"] == "true" and memory["EN_SAFETY_CKT"] == "false"
    assert settings(vivado, "store")["READ_LATENCY"] == "3"
    wires = Vivado().run(projects / "vcu1525" / "vcu1525.xdc").of("set_property")
    assert ("CFGBVS", "GND", "<current_design>") in wires
    assert ("CONFIG_VOLTAGE", "1.8", "<current_design>") in wires


def test_the_zynqs_clock_is_told_as_it_was_set(projects):
    """A division of 1,000 MHz is asked for, so that the nearest one is not a faster one."""
    vivado = run(projects / "pynq-z2")
    assert settings(vivado, "ps")["PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "71.4286"
    assert vivado.said == ["slack at 71.428574 MHz: 0.25 ns, of 14.000 ns"]


def test_pins_of_the_card_are_of_its_block_design(projects):
    vivado = run(projects / "vcu1525")
    outside = {w[1] for w in vivado.of("make_bd_intf_pins_external", "make_bd_pins_external")}
    (added,) = (words for words in vivado.of("add_files") if "constrs_1" in words)
    ports = {words[0] for words in Vivado().run(added[-1]).of("get_ports")}
    assert ports == {"pcie_refclk_clk_p[0]", "pcie_refclk_clk_n[0]", "pcie_reset_n"}
    assert all(any(port.startswith(name) for name in outside) for port in ports)


@pytest.mark.parametrize("name", VENDOR_BOARDS)
def test_settings_and_files(projects, name):
    folder = projects / name
    board = VENDOR_BOARDS[name]
    vivado = run(folder)
    assert vivado.of("create_project")[0][-1] == board.part
    assert (folder / "heddle.bit").read_text() == "bits"
    for words in vivado.of("add_files"):
        assert words[-1] == "<make_wrapper>" or (folder / words[-1]).is_file()
    for module in vendor.BLOCKS:
        assert f"module {module}(" in (folder / "ip" / module / f"{module}.v").read_text()


def test_a_run_that_fails_or_misses_timing_is_an_error(projects):
    folder = projects / "pynq-z2"
    with pytest.raises(tkinter.TclError, match="did not finish"):
        run(folder, progress="40%")
    with pytest.raises(tkinter.TclError, match="timing is missed by 1.5 ns"):
        run(folder, slack="-1.5")


def test_estimate_says_what_it_is(monkeypatch, tmp_path):
    cells = {"LUT6": 1000, "FDRE": 50, "DSP48E2": 7, "RAMB36E2": 3, "RAMB18E2": 1}
    asked = []

    def estimate(text, top, family):
        asked.append((text, top, family))
        return Area(cells, family)

    monkeypatch.setattr(synthesis, "estimate", estimate)
    board = VENDOR_BOARDS["vcu1525"]
    report = vendor.estimate(board, "verilog", tmp_path)
    assert asked == [("verilog", "heddle_memory", Family.XCUP)]
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["estimate"] is True and "Yosys" in written["method"]
    assert written["used"]["BRAM36"] == [3.5, board.available.ram]
    assert written["published"] == report.published and "SAT" in written["published"]["name"]
    vendor.estimate(VENDOR_BOARDS["arty-a7-100"], "verilog", tmp_path)
    assert asked[-1][1:] == ("top", Family.XC7)
    assert json.loads((tmp_path / "report.json").read_text())["published"] == {}


def put_vivado(folder, monkeypatch, script: str):
    tool = folder / "bin" / "vivado"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")


def test_vivado_runs_if_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert vendor.build(tmp_path) is None
    put_vivado(tmp_path, monkeypatch, 'echo "$@"; touch heddle.bit')
    assert vendor.build(tmp_path) == tmp_path / "heddle.bit"
    assert "-mode batch" in (tmp_path / "vivado.log").read_text()


@pytest.mark.parametrize("script", ["exit 3", "exit 0"])
def test_vivado_that_fails_is_told(monkeypatch, tmp_path, script):
    (tmp_path / "heddle.bit").touch()  # from before: not to be mistaken for this one
    put_vivado(tmp_path, monkeypatch, script)
    with pytest.raises(BuildError, match="Vivado failed.*vivado.log"):
        vendor.build(tmp_path)


def test_the_command(monkeypatch, capsys, tmp_path):
    def heddle(*arguments) -> str:
        monkeypatch.setattr("sys.argv", ["heddle", "bitstream", "--out", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return f"{end.value.code or 0} " + " ".join((captured.out + captured.err).split())

    small = replace(VENDOR_BOARDS["pynq-z2"], config=preset("tiny"))
    monkeypatch.setitem(boards.VENDOR_BOARDS, "pynq-z2", small)
    monkeypatch.setattr(synthesis, "estimate", lambda text, top, f: Area({"LUT6": 9}, f))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    told = heddle("--board", "pynq-z2")
    assert told.startswith("0 ") and "There is no vivado on the path" in told
    assert "vivado -mode batch -source build.tcl" in told and "estimate by Yosys" in told
    assert (tmp_path / "pynq-z2" / "build.tcl").is_file()
    assert heddle("--board", "pynq-z2", "--config", "big").startswith("1 heddle: pynq-z2 has no")
    assert "ulx3s-85f" in (told := heddle("--board", "none")) and "vcu1525" in told
