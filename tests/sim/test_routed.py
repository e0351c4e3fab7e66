"""What nextpnr makes of a design, cell by cell, does what its source does."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth import Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw import verilog
from hw.config import Config
from hw.feeders import Bank
from hw.fifo import Fifo
from hw.formats import INT8
from hw.platforms import Build, board
from hw.platforms.top import TOP, BoardTop, generate
from sim import routed, synthesis, verilator
from sim.board import DIVISOR, BoardPort
from sw import selftest
from sw.device import Device
from sw.serial_link import LinkTransport

CELLS = ("TRELLIS_COMB", "TRELLIS_RAMW", "TRELLIS_FF", "DP16KD", "MULT18X18D", "DCCA")
COMPARE = """
module compare(input clk, rst, i, output a, b);
  source s(.clk(clk), .rst(rst), .i(i), .o(a));
  routed r(.clk(clk), .rst(rst), .i(i), .o(b));
endmodule
"""


class Sample(wiring.Component):
    """Something of everything: both kinds of RAM at several widths, a multiplier, carries, wide
    multiplexers; all of it driven by a shift register and folded into one bit."""

    def __init__(self):
        super().__init__({"i": In(1), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        shift = Signal(96)
        product, total, picked = Signal(signed(32)), Signal(48), Signal()
        m.d.sync += [
            shift.eq(Cat(self.i, shift)),
            product.eq(shift[:16].as_signed() * shift[16:32].as_signed()),
            total.eq(total + product + shift[5]),
        ]
        m.submodules.lut = lut = Fifo(8, 16)
        m.submodules.block = block = Fifo(40, 64)
        m.submodules.wide = wide = Bank(36, 512)
        m.submodules.narrow = narrow = Bank(3, 1024)
        m.submodules.begun = begun = Memory(
            shape=12, depth=8, init=[3000 + 77 * i for i in range(8)]
        )
        write, read = begun.write_port(), begun.read_port()
        m.d.comb += [
            lut.i.payload.eq(shift[20:28]),
            lut.i.valid.eq(shift[3]),
            lut.o.ready.eq(shift[7]),
            block.i.payload.eq(total),
            block.i.valid.eq(shift[11]),
            block.o.ready.eq(shift[13]),
            wide.write_en.eq(shift[1]),
            wide.write_address.eq(shift[40:49]),
            wide.write_data.eq(total[3:]),
            wide.read_en.eq(shift[2]),
            wide.read_address.eq(shift[50:59]),
            narrow.write_en.eq(shift[4]),
            narrow.write_address.eq(shift[60:70]),
            narrow.write_data.eq(total[20:]),
            narrow.read_en.eq(shift[9]),
            narrow.read_address.eq(shift[70:80]),
            write.en.eq(shift[30:36].all()),
            write.addr.eq(shift[36:39]),
            write.data.eq(total[7:]),
            read.addr.eq(shift[33:36]),
        ]
        word = Cat(
            *(lut.o.payload, lut.o.valid, lut.level),
            *(block.o.payload, block.o.valid, block.level),
            *(wide.read_data, narrow.read_data, read.data, total),
        )
        m.d.sync += [picked.eq(word.bit_select(shift[80:88], 1)), self.o.eq(picked ^ word.xor())]
        return m


@pytest.fixture(scope="module")
def sample():
    """The sample's source and its routed netlist's."""
    source = verilog.convert(Sample(), "source")
    made = synthesis.route(source, "source")
    assert all(made.cells[kind] for kind in CELLS)
    return source, routed.verilog(made.netlist, "routed")


def differences(source: str, netlist: str) -> int:
    """Cycles of 100,000 in which they differ."""
    program = verilator.build(
        verilator.Build(
            verilog=netlist + source + COMPARE,
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


def test_netlist_is_its_source(sample):
    assert differences(*sample) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("M ? F1 : F", "M ? F : F1"),
        ("M ? FXB : FXA", "M ? FXA : FXB"),
        ("bits = INITVAL", "bits = 0"),
        ("assign FCO = propagate ? FCI : generates", "assign FCO = FCI"),
        ("WADO0} = {A0, C0, B0, D0}", "WADO0} = {D0, C0, B0, A0}"),
        ("if (ADA[3]) bytes", "if (!ADA[3]) bytes"),
        ("assign DOA = word[17:0]", "assign DOA = word[35:18]"),
        ("4: bytes[at][4 * ADA[2] +: 4]", "4: bytes[at][0 +: 4]"),
        ("{SIGNEDA & A[17], A}", "{1'b0, A}"),
        ("else if (CE) Q", "else Q"),
    ],
)
def test_wrong_model_is_found(sample, right, wrong):
    source, netlist = sample
    assert netlist.count(right) == 1 or right == "else if (CE) Q"
    assert differences(source, netlist.replace(right, wrong)) > 0


def test_unknown_cell(tmp_path):
    cell = '{"type": "SIOLOGIC", "parameters": {}, "connections": {}, "port_directions": {}}'
    (tmp_path / "routed.json").write_text(
        f'{{"modules": {{"top": {{"ports": {{}}, "cells": {{"x": {cell}}}}}}}}}'
    )
    with pytest.raises(synthesis.SynthesisError, match="no model of the cell SIOLOGIC"):
        routed.verilog(tmp_path / "routed.json", "routed")


@pytest.mark.slow
def test_selftest_of_a_placed_and_routed_board():
    """The whole top level of a board, PLL and pins and all, as it would be configured."""
    pages = {"activation_groups": 16, "weight_slots": 16, "schedule_records": 16}
    config = Config("routed", 2, 2, INT8, columns_per_epilogue=2, **pages)
    build = Build(config, 70)
    ulx3s = board("ulx3s-85f")
    clock = BoardTop(ulx3s, build).dividers.output_hz
    fast = replace(ulx3s, baud=round(clock / DIVISOR))  # the simulation is slow
    made = synthesis.route(generate(fast, build), TOP)
    text = (
        routed.verilog(made.netlist, "routed")
        + f"""
module {verilog.TOP}(input clk, rst, rx, output tx, busy, error);
  routed board(.clk(clk), .rx(rx), .tx(tx), .busy(busy), .error(error));
endmodule
"""
    )
    with Device(LinkTransport(BoardPort(config, text))) as device:
        assert device.config == replace(config, name="device")
        results = selftest.run(device)
    assert [r for r in results if not r.passed] == []
