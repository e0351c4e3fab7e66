"""Tensor memory before a unit that works on it by the ports of `layouts.tensor.at_work`: it takes
reads and lets write when it likes."""

import random
from collections.abc import Sequence

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.codes import Flag

FLAGS = ("fault", "overflow", "saturated")


class AtWork:
    """The memory, what the unit does to it, and the commands that it is offered."""

    def __init__(self, dut, config: Config, rng: np.random.Generator, commands: str):
        self.dut, self.config = dut, config
        self.memory = rng.integers(0, 256, (config.tensor_words, config.stream_bytes), np.uint8)
        self.pause = 0.0
        """Probability that a read, or a write, must wait in a cycle."""
        self.cycles = self.taken = self.finished = 0
        self.flags: set[Flag] = set()
        everything = [range(config.tensor_words)]
        self.readable, self.writable = everything, everything
        self._valid = getattr(dut, f"{commands}__valid")
        self._ready = getattr(dut, f"{commands}__ready")
        self._payload = getattr(dut, f"{commands}__payload")
        cocotb.start_soon(self._run())

    def offer(self, layout, values: dict) -> None:
        """Offer a command until it is taken."""
        self._payload.value = layout.const(values).as_value().value
        self._valid.value = 1

    async def until_taken(self) -> None:
        """Wait until the command that is offered has been taken."""
        taken = self.taken
        while self.taken == taken:
            await RisingEdge(self.dut.clk)

    async def until(self, finished: int, most: int) -> int:
        """Wait for so many commands to have finished; returns the cycles that it took."""
        began = self.cycles
        while self.finished < finished:
            await RisingEdge(self.dut.clk)
            assert self.cycles - began < most, "never finished"
        await RisingEdge(self.dut.clk)
        return self.cycles - began

    async def _run(self):
        """The memory's side: words two cycles after they were asked for."""
        dut, asked = self.dut, None
        flags = [name for name in FLAGS if hasattr(dut, name)]
        while True:
            await RisingEdge(dut.clk)
            self.cycles += 1
            self.finished += int(dut.finished.value)
            self.flags |= {Flag[name.upper()] for name in flags if int(getattr(dut, name).value)}
            if int(self._valid.value) and int(self._ready.value):
                self.taken += 1
                self._valid.value = 0
                self._payload.value = random.getrandbits(len(self._payload))
            self._write(int(dut.write__enable.value))
            dut.port__there.value = asked is not None
            dut.port__data.value = random.getrandbits(64) if asked is None else asked
            taken = int(dut.port__valid.value) and int(dut.port__ready.value)
            asked = self._word() if taken else None
            dut.port__ready.value = random.random() >= self.pause
            dut.grant.value = random.random() >= self.pause

    def _addresses(self, port: str) -> list[int]:
        bits = (self.config.tensor_words - 1).bit_length()
        packed = int(getattr(self.dut, f"{port}__address").value)
        return [packed >> bits * n & (1 << bits) - 1 for n in range(self.config.lanes)]

    def _word(self) -> int:
        size, addresses = self.config.group_bytes, self._addresses("port")
        assert all(_among(address, self.readable) for address in addresses), "read elsewhere"
        groups = (
            self.memory[a, n * size : (n + 1) * size].tobytes() for n, a in enumerate(addresses)
        )
        return int.from_bytes(b"".join(groups), "little")

    def _write(self, enable: int):
        config, unit = self.config, self.config.write_bytes
        if not enable:
            return
        assert int(self.dut.grant.value), "written without leave"
        data = int(self.dut.write__data.value).to_bytes(config.stream_bytes, "little")
        addresses = self._addresses("write")
        for n in range(config.stream_bytes // unit):
            if enable >> n & 1:
                address = addresses[n * unit // config.group_bytes]
                assert _among(address, self.writable), "written elsewhere"
                part = slice(n * unit, (n + 1) * unit)
                self.memory[address, part] = np.frombuffer(data[part], np.uint8)


def _among(address: int, stretches: Sequence[range]) -> bool:
    return any(address in words for words in stretches)
