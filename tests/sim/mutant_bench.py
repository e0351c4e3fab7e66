"""Chooses a mutant; the testbench's own tests follow in the same simulation."""

import os

import cocotb
from cocotb.triggers import Timer

MUTANT = "HEDDLE_MUTANT"


@cocotb.test()
async def choose(dut):
    dut.mutant.value = int(os.environ[MUTANT])
    await Timer(1, "ns")
