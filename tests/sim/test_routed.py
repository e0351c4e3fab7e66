"""What nextpnr makes of a design, cell by cell, does what its source does."""

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from amaranth import Cat, ClockDomain, ClockSignal, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from heddle.hw import verilog
from heddle.hw.buffers.bank import Bank
from heddle.hw.config import Config
from heddle.hw.formats import INT8, ROUNDED
from heddle.hw.lib.fifo import Fifo
from heddle.hw.platforms import Build, board
from heddle.hw.platforms.top import TOP, dividers_of, generate
from heddle.sim.engines import verilator
from heddle.sim.engines.board import DIVISOR, BoardPort
from heddle.sim.testbenches import routed
from heddle.sw.flow import synthesis
from heddle.sw.host import selftest
from heddle.sw.host.device import Device
from heddle.sw.report.cross_coverage import random_product
from heddle.sw.transports.serial_link import LinkTransport

CELLS = ("TRELLIS_COMB", "TRELLIS_RAMW", "TRELLIS_FF", "DP16KD", "MULT18X18D", "DCCA")
BANKS = ((1, 12), (2, 11), (4, 10), (9, 10), (18, 10), (36, 9))
"""Width and address bits of buffers, one for each width of a block RAM."""
TABLES = ((12, 8, 12), (9, 1024, 9), (18, 1024, 9), (36, 512, 9))
"""Width, depth and bits of a write enable of memories in both kinds of RAM."""
COMPARE = """
module compare(input clk, rst, i, output a, b);
  source s(.clk(clk), .rst(rst), .i(i), .o(a));
  routed r(.clk(clk), .rst(rst), .i(i), .o(b));
endmodule
"""


class Sample(wiring.Component):
    """Something of everything: both kinds of RAM, block RAM at every width, a multiplier, carries,
    wide multiplexers, registers of every kind; all of it driven by a shift register and folded into
    one bit. If it `collides`, block RAM is read where it is written."""

    def __init__(self, collides: bool = False):
        self.collides = collides
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        shift = Signal(96)
        product, total, picked = Signal(signed(32)), Signal(48, init=0x5A5A5A), Signal()
        latest = Signal(8)
        m.d.sync += [
            shift.eq(Cat(self.i, shift)),
            product.eq(shift[:16].as_signed() * shift[16:32].as_signed()),
            total.eq(total + product + shift[5]),
        ]
        with m.If(~shift[21]):
            m.d.sync += latest.eq(shift[22:])
        m.submodules.lut = lut = Fifo(8, 16)
        m.submodules.block = block = Fifo(40, 64)
        m.d.comb += [
            lut.i.payload.eq(shift[20:28]),
            lut.i.valid.eq(shift[3]),
            lut.o.ready.eq(shift[7]),
            block.i.payload.eq(total),
            block.i.valid.eq(shift[11]),
            block.o.ready.eq(shift[13]),
        ]
        # A register that a reset without a clock sets, and one that it clears.
        m.domains.held = held = ClockDomain(async_reset=True)
        m.d.comb += held.clk.eq(ClockSignal())
        m.d.sync += held.rst.eq(shift[15:18].all())
        high, low = Signal(init=1), Signal()
        m.d.held += [high.eq(shift[18]), low.eq(shift[19])]
        word = Cat(
            *(lut.o.payload, lut.o.valid, lut.level),
            *(block.o.payload, block.o.valid, block.level),
            *(self.bank(m, shift, total, *bank) for bank in BANKS),
            *(self.table(m, shift, total, *table) for table in TABLES),
            *(total, high, low, latest),
        )
        m.d.sync += [picked.eq(word.bit_select(shift[80:88], 1)), self.o.eq(picked ^ word.xor())]
        return m

    def table(self, m: Module, shift: Signal, data: Signal, width: int, depth: int, part: int):
        """The word read, always, from a memory that holds something at the start."""
        init = [0x12345679B * i % (1 << width) for i in range(depth)]
        m.submodules += (memory := Memory(shape=width, depth=depth, init=init))
        write, read = memory.write_port(granularity=part), memory.read_port()
        m.d.comb += [
            write.en.eq(Mux(shift[30:35].all(), shift[60:], 0)),
            write.addr.eq(shift[36:]),
            write.data.eq(data[7:]),
            read.addr.eq(shift[33:]),
        ]
        return read.data

    def bank(self, m: Module, shift: Signal, data: Signal, width: int, address_bits: int):
        """The word read from a buffer that takes one block RAM."""
        m.submodules += (bank := Bank(width, 1 << address_bits))
        write, read = shift[width:][:address_bits], shift[width + 40 :][:address_bits]
        m.d.comb += [
            bank.write_en.eq(shift[1 + address_bits]),
            bank.write_address.eq(write),
            bank.write_data.eq(data[address_bits:]),
            bank.read_en.eq(shift[1 + width] & (self.collides | (write != read))),
            bank.read_address.eq(read),
        ]
        return bank.read_data


@dataclass(frozen=True)
class Both:
    """A sample, and what was made of it."""

    source: str
    netlist: Path

    def differences(self, right: str = "", wrong: str = "") -> int:
        """Cycles of 100,000 in which they differ; with `wrong` in the models instead of `right`."""
        text = routed.verilog(self.netlist, "routed")
        assert right in text
        program = verilator.build(
            verilator.Build(
                verilog=text.replace(right, wrong) + self.source + COMPARE,
                top="compare",
                sources=(Path(__file__).with_name("compare.cpp"),),
                output="compare",
                compile=("-DVL_TIME_CONTEXT",),
                optimise="-O1",
            )
        )
        out = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        differ, ones = (int(number) for number in out.split())
        assert 10_000 < ones < 90_000
        return differ


def both(design: Sample) -> Both:
    source = verilog.convert(design, "source")
    made = synthesis.route(source, "source")
    assert all(made.cells[kind] for kind in CELLS)
    return Both(source, made.netlist)


@pytest.fixture(scope="module")
def sample():
    return both(Sample())


def test_netlist_is_its_source(sample):
    assert sample.differences() == 0


@pytest.mark.slow
def test_reading_what_is_written_is_found():
    assert both(Sample(collides=True)).differences() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("M ? F1 : F", "M ? F : F1"),
        ("M ? FXB : FXA", "M ? FXA : FXB"),
        ("bits = INITVAL", "bits = 0"),
        ("assign FCO = propagate ? FCI : generates", "assign FCO = FCI"),
        ("WADO0} = {A0, C0, B0, D0}", "WADO0} = {D0, C0, B0, A0}"),
        ("{9{ADA[3]}}", "{9{ADA[2]}}"),
        ("{9{ADA[1]}}", "{9{ADA[0]}}"),
        ("18 * at[4]", "18 * at[3]"),
        ("9: place = 9 * at[4:3]", "9: place = 9 * at[4]"),
        ("4 * at[2]", "4 * at[1]"),
        ("2 * at[2:1]", "2 * at[1:0]"),
        ("+ at[2:0]", "+ at[1:0]"),
        ("CONTENT[36 * i +: 36]", "CONTENT[36 * i +: 35]"),
        ("36'hF_FFFF_FFFF", "36'h7_FFFF_FFFF"),
        ("assign DOA = word[17:0]", "assign DOA = word[35:18]"),
        ("{SIGNEDA & A[17], A}", "{1'b0, A}"),
        ("if (LSR) Q <= VALUE; else if (CE) Q", "if (LSR) Q <= VALUE; else Q"),
        ('VALUE = REGSET == "SET"', "VALUE = 0"),
        ("posedge CLK or posedge LSR", "posedge CLK"),
        ('SD == "1"', "1"),
    ],
)
def test_wrong_model_is_found(sample, right, wrong):
    assert sample.differences(right, wrong) > 0


UNKNOWN = {
    "no model of the cell SIOLOGIC": ("SIOLOGIC", {}, {}),
    "of both directions": ("TRELLIS_IO", {"DIR": "BIDIR"}, {"B": [1]}),
    "needs CLKMUX = CLK": ("TRELLIS_FF", {"CLKMUX": "INV"}, {}),
    "has no pin CLK0": ("MULT18X18D", {}, {"CLK0": [2]}),
    "writes at port A": ("DP16KD", {}, {"WEB": [2]}),
}


@pytest.mark.parametrize("message", UNKNOWN)
def test_what_has_no_model(tmp_path, message):
    kind, parameters, connections = UNKNOWN[message]
    cell = {"type": kind, "parameters": parameters, "connections": connections}
    cell["port_directions"] = dict.fromkeys(connections, "input")
    design = {"ports": {"pin": {"direction": "inout", "bits": [1]}}, "cells": {"x": cell}}
    (tmp_path / "routed.json").write_text(json.dumps({"modules": {"top": design}}))
    with pytest.raises(synthesis.SynthesisError, match=message):
        routed.verilog(tmp_path / "routed.json", "routed")


@pytest.fixture(scope="module")
def placed():
    """A configuration, and the netlist of a board's whole top level with it: PLL, pins and all."""
    pages = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
    config = Config("device", 2, 2, INT8, columns_per_epilogue=2, **pages)
    build = Build(config, 70)
    ulx3s = board("ulx3s-85f")
    clock = dividers_of(ulx3s, build).output_hz
    fast = replace(ulx3s, baud=round(clock / DIVISOR))  # the simulation is slow
    return config, synthesis.route(generate(fast, build), TOP).netlist


def at_the_pins(config: Config, netlist: str) -> Device:
    wrapper = f"""
module {verilog.TOP}(input clk, rst, rx, output tx, busy, error);
  routed board(.clk(clk), .rx(rx), .tx(tx), .busy(busy), .error(error));
endmodule
"""
    return Device(LinkTransport(BoardPort(config, netlist + wrapper)))


@pytest.mark.slow
def test_selftest_of_a_placed_and_routed_board(placed):
    config, netlist = placed
    with at_the_pins(config, routed.verilog(netlist, "routed")) as device:
        assert device.config == config
        results = selftest.run(device)
        assert [r for r in results if not r.passed] == []
        rng = np.random.default_rng(13)
        for n in (None, 1, 3, 8):
            for output in ROUNDED:
                options = {"bias": rng.standard_normal(5), "relu": n == 3, "output": output}
                random_product(device, rng, n, (5, 60, 5), **options)


@pytest.mark.slow
def test_selftest_finds_a_wrong_multiplier(placed):
    config, netlist = placed
    right, stuck = "P = product[35:0]", "P = {product[35:1], 1'b0}"
    text = routed.verilog(netlist, "routed")
    assert right in text
    with at_the_pins(config, text.replace(right, stuck)) as device:
        failed = {r.unit for r in selftest.run(device) if not r.passed}
    assert "processing elements" in failed and "registers" not in failed


def settings(netlist: Path) -> set[tuple[str, str, str]]:
    """Cells' settings with their values, but for what a cell holds and pins that are constant."""
    (design,) = json.loads(netlist.read_text())["modules"].values()
    return {
        (cell["type"], name, value.strip())
        for cell in design["cells"].values()
        if cell["type"] in CELLS
        for name, value in cell["parameters"].items()
        if not name.startswith("INITVAL") and value.strip() not in ("0", "1")
    }


@pytest.mark.slow
def test_models_are_compared_in_all_that_a_board_uses(placed, sample):
    assert settings(placed[1]) <= settings(sample.netlist)
