"""The cocotb half of test_library: the shared modules, as Verilog."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from .test_library import expected, stimulus


@cocotb.test()
async def behaves_as_without_a_library(dut):
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    inputs = stimulus(200)
    outputs = []
    for value, clear in inputs:
        dut.i.value = value
        dut.clear.value = clear
        outputs.append(int(dut.o.value))
        await FallingEdge(dut.clk)
    assert outputs == expected(inputs)
