"""The counters in the whole device: where cycles go is where they are counted.

Each job is made so that one thing has to wait, for a time that is known.
"""

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.formats import OutputFormat
from .reset import CLEAR, Bench, opened, operands, run

TILES = 100


async def idle(bench: Bench, cycles: int):
    for _ in range(cycles):
        await RisingEdge(bench.dut.clk)


async def loaded(dut, weights: int) -> Bench:
    """A group of so many weights in the buffers, nothing counted."""
    bench = await opened(dut)
    bench.answers = []
    loads = operands(bench.config, [1] * weights, [1] * weights)
    await bench.send(loads)
    await bench.answered(len(loads))
    bench.answers = []
    await bench.control(CLEAR)
    return bench


@cocotb.test()
async def a_host_that_takes_nothing(dut):
    """Once no tile more fits, each cycle is one in which a tile waits for room."""
    bench = await loaded(dut, weights=3)
    dut.m_axis_tready.value = 0
    await bench.send([run(bench.config, blocks=TILES)])
    await idle(bench, 1000)
    tiles, before = await bench.read("tiles"), await bench.read("stall_output")
    await idle(bench, 500)
    assert abs(await bench.read("stall_output") - before - 500) < 5
    assert await bench.read("tiles") == tiles < TILES
    assert await bench.read("status") == 1
    dut.m_axis_tready.value = 1
    await bench.answered(1)
    assert (await bench.read("tiles"), await bench.read("slots")) == (TILES, 3 * TILES)
    assert await bench.read("stall_host") == 0
    # From the first issue to the last output: at least what was waited for, at most all there was.
    assert 1500 < await bench.read("cycles") < await bench.read("total")
    await idle(bench, 20)
    assert await bench.read("status") == 0


@cocotb.test()
async def tiles_that_drain_longer_than_they_last(dut):
    bench = await loaded(dut, weights=1)
    await bench.send([run(bench.config, OutputFormat.INT8, blocks=TILES)])
    await bench.answered(1)
    rows = bench.config.tile_rows
    drain, output = await bench.read("stall_drain"), await bench.read("stall_output")
    # A tile is issued in one cycle, and its rows take one each.
    assert abs(drain + output - (TILES - 1) * (rows - 1)) < 3 * rows and drain > output
    assert await bench.read("overlap") > TILES // 2
    assert await bench.read("macs") == TILES * rows * bench.config.columns


@cocotb.test()
async def a_host_with_nothing_to_do(dut):
    bench = await loaded(dut, weights=4)
    await bench.send([run(bench.config)])
    await bench.answered(1)
    assert await bench.read("stall_host") == 0  # nothing has been issued after it
    await idle(bench, 1000)
    await bench.send([run(bench.config)])
    await bench.answered(2)
    assert 1000 < await bench.read("stall_host") < 1200
    assert await bench.read("commands") == 2
