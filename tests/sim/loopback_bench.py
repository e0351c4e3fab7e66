"""What test_testbench runs: one cocotb test whose verdict the environment decides."""

import os

import cocotb
from cocotb.triggers import FallingEdge

from heddle.sim.testbenches.common import start


@cocotb.test()
async def inverts_a_beat(dut):
    await start(dut, "s_axis_tvalid")
    dut.s_axis_tvalid.value = 1
    dut.s_axis_tdata.value = 0
    await FallingEdge(dut.clk)
    assert int(dut.m_axis_tdata.value) & 255 == int(os.environ["EXPECTED"])
