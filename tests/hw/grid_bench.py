"""The cocotb half of test_library: the shared modules, as Verilog."""

import cocotb
from cocotb.triggers import FallingEdge

from heddle.sim.testbenches.common import start

from .test_library import expected, stimulus


@cocotb.test()
async def behaves_as_without_a_library(dut):
    await start(dut)
    inputs = stimulus(200)
    outputs = []
    for value, clear in inputs:
        dut.i.value = value
        dut.clear.value = clear
        outputs.append(int(dut.o.value))
        await FallingEdge(dut.clk)
    assert outputs == expected(inputs)
