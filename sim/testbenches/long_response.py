"""The response writer, and the longest of responses: one is enough, it takes its time."""

import cocotb
from cocotb.triggers import RisingEdge

from ...hw.formats import OutputFormat
from .common import configuration, generator, start


@cocotb.test()
async def more_rows_than_a_halfword_counts(dut):
    """All of them come, and the last beat is the last row's."""
    config = configuration()
    generator()
    rows, output = 0x1_0002, OutputFormat.INT8
    await start(dut, "flags", "row_there", "response__valid")
    dut.response__payload.value = 3 | 7 << 8 | rows << 32 | output << 64
    dut.response__valid.value = dut.o__ready.value = 1
    width = 8 * config.stream_bytes
    told = taken = ended = beats = 0
    lasts = []
    while not lasts:
        dut.row_there.value = tell = told < rows and told - taken < 4
        await RisingEdge(dut.clk)
        dut.response__valid.value = 0
        told += tell
        taken += int(dut.row_taken.value)
        ended += int(dut.last_output.value)
        if int(dut.o__valid.value):
            beats += 1
            if int(dut.o__payload.value) >> width:
                lasts.append(beats)
        assert beats < 3 * rows
    assert (taken, ended) == (rows, rows)
    assert beats == config.header_beats + rows * -(-config.columns // config.stream_bytes)
