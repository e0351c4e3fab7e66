"""A memory on the chip behind AXI4, for a master that is not ours: every byte as last written."""

import random
from itertools import repeat

import cocotb
import numpy as np
from cocotbext.axi import AxiBus, AxiMaster

from ...hw.bus.axi_ram import AxiRam
from ...hw.config import Config
from .common import configuration, generator, start


def ram(config: Config) -> AxiRam:
    """The device under test."""
    return AxiRam(8 * config.stream_bytes, config.external_bits)


@cocotb.test()
async def random_accesses(dut):
    config, rng = configuration(), generator()
    await start(dut)
    size, beat = 1 << config.external_bits, config.stream_bytes
    master = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst, max_burst_len=64)
    held = bytearray(rng.integers(0, 256, size, np.uint8).tobytes())
    await master.write(0, bytes(held))
    write, read = master.write_if, master.read_if
    for _ in range(40):
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel):
            often = random.choice((0, 0.5))
            channel.set_pause_generator(random.random() < often for _ in repeat(None))
        often = random.choice((0, 0.3, 0.9))
        read.r_channel.set_pause_generator(random.random() < often for _ in repeat(None))
        # Any bytes: the master makes strobes of them. Reads are of whole beats.
        at = random.randrange(size - 1)
        data = random.randbytes(random.randrange(1, min(size - at, 40 * beat) + 1))
        await master.write(at, data)
        held[at : at + len(data)] = data
        asked = []
        for _ in range(3):
            first = random.randrange(size // beat) * beat
            count = random.randrange(1, min((size - first) // beat, 100) + 1) * beat
            asked.append((first, count, cocotb.start_soon(master.read(first, count))))
        for first, count, reading in asked:
            assert (await reading).data == held[first : first + count]
