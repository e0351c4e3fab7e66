"""The filler and the row mover on one memory, and what comes out of them beside what must."""

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.maps import chunks
from ...hw.layouts.array import settings_signature, write_signature
from ...hw.layouts.stream import beat
from ...hw.layouts.tensor import FILL, SKEWED, TURNED, WALK, WORDS, WRITE_PORT
from ...hw.lib.connect import connect_checked
from ...hw.tensor.beats import BeatReader
from ...hw.tensor.filler import Filler
from ...hw.tensor.memory import TensorMemory
from ...hw.tensor.rows import RowMover
from ...hw.tensor.share import PortShare
from .common import Sink, Source, configuration, generator, join, start, until
from .movers_model import Model


class Movers(wiring.Component):
    """The device under test: as in the core, but that the test writes the memory."""

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "store": In(WRITE_PORT(config)),
                "fills": In(stream.Signature(FILL(config))),
                "rows": In(stream.Signature(WALK(config))),
                "words": In(stream.Signature(WORDS(config))),
                "o": Out(stream.Signature(beat(config))),
                "write": Out(write_signature(config)),
                "row_write": Out(write_signature(config)),
                "index_write": Out(write_signature(config)),
                "settings": Out(settings_signature(config)),
                "finished": Out(2),
                "faults": Out(3),
                "outside": Out(1),
                **({"turned": Out(TURNED(config))} if config.training else {}),
                **({"skewed": Out(SKEWED(config))} if config.training else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = TensorMemory(config)
        m.submodules.filler = filler = Filler(config)
        m.submodules.mover = mover = RowMover(config)
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.share = share = PortShare(config)
        connect_checked(m, wiring.flipped(self.store), memory.write)
        connect_checked(m, wiring.flipped(self.fills), filler.fills)
        connect_checked(m, wiring.flipped(self.rows), mover.rows)
        connect_checked(m, wiring.flipped(self.words), reader.words)
        connect_checked(m, reader.o, wiring.flipped(self.o))
        connect_checked(m, reader.port, share.readers[0])
        connect_checked(m, mover.port, share.readers[1])
        connect_checked(m, share.port, memory.reads[0])
        connect_checked(m, filler.port, memory.reads[1])
        connect_checked(m, filler.write, wiring.flipped(self.write))
        connect_checked(m, mover.write, wiring.flipped(self.row_write))
        connect_checked(m, filler.indices, wiring.flipped(self.index_write))
        connect_checked(m, filler.settings, wiring.flipped(self.settings))
        if config.training:
            m.d.comb += [self.turned.eq(mover.turned), self.skewed.eq(filler.skewed)]
        m.d.comb += [
            self.finished.eq(filler.finished | mover.finished << 1),
            self.faults.eq(filler.faults),
            self.outside.eq(mover.fault),
        ]
        return m


class Bench(Model):
    """The device beside the model."""

    def __init__(self, dut, config: Config):
        self.dut = dut
        self.fills, self.rows = Source(dut, "fills"), Source(dut, "rows")
        super().__init__(config, self.fills.queue, self.rows.queue)
        self.words, self.o = Source(dut, "words"), Sink(dut, "o")
        self._came = [0, 0, 0]
        self.faults = 0
        cocotb.start_soon(self._watch())

    async def stored(self):
        """The words are in the memory."""
        dut = self.dut
        for address, word in enumerate(self.held):
            dut.store__enable.value = (1 << len(dut.store__enable)) - 1
            dut.store__address.value = join([address] * self.config.lanes, self.size)
            dut.store__data.value = word
            await RisingEdge(dut.clk)
        dut.store__enable.value = 0

    async def _watch(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            buses = ("write", self.writes), ("index_write", self.index_writes)
            for number, (bus, due) in enumerate(buses):
                valid, *place, data = (
                    int(getattr(dut, f"{bus}__{name}").value)
                    for name in ("valid", "target", "address", "chunk", "data")
                )
                if valid and number == 0 and self._skewed():
                    self._came[0] += 1
                    assert place[0] == Target.VALUES
                    self._dealt_dense(*place[1:], data)
                elif valid:
                    self._came[number] += 1
                    target, address, chunk, wanted = due.popleft()
                    mask = (1 << chunks(self.config)[target].bits) - 1
                    assert (place, data & mask) == ([target, address, chunk], wanted)
            if int(dut.row_write__valid.value):
                assert int(dut.row_write__target.value) == Target.ACTIVATIONS
                bus = dut.row_write__address, dut.row_write__chunk, dut.row_write__data
                how = {}
                if self.config.training:
                    turned = TURNED(self.config).from_bits(int(dut.turned.value))
                    how |= {"part": turned.part} if turned.transposed else {}
                    how |= {"turn": turned.turn} if turned.grouped else {}
                assert (*(int(b.value) for b in bus), how) == self.row_writes.popleft()
            if int(dut.settings__valid.value):
                bus = [dut.settings__entry, dut.settings__column, dut.settings__scale]
                got = (*(int(b.value) for b in bus), dut.settings__exponent.value.to_signed())
                bias = dut.settings__bias.value.to_unsigned()
                assert (*got, int(bias)) == self.settings.popleft()
                self._came[2] += 1
                assert not int(dut.settings__all.value)
            ended = int(dut.finished.value)
            if ended & 1:
                due = zip(self._came, self.fill_ends.popleft(), strict=True)
                assert all(came >= wanted for came, wanted in due), "a FILL ends too early"
            if ended & 2:
                assert self.row_writes.popleft() is None, "a ROWS ends before its last group"
            self.faults += int(dut.faults.value).bit_count()
            assert not int(dut.outside.value)

    def _dealt_dense(self, address: int, chunk: int, data: int):
        """A chunk of the DENSE at hand: each group once, in its place."""
        together, turn = self.config.dense_groups, int(self.dut.skewed.value) >> 1
        assert address % together == 0
        for n in range(together):
            place = address + (n - turn) % together, chunk * together + n
            group = data >> n * self.group & (1 << self.group) - 1
            assert self.dense[0].pop(place) == group
        if not self.dense[0]:
            self.dense.popleft()

    def _skewed(self) -> bool:
        return self.config.training and bool(int(self.dut.skewed.value) & 1)

    async def done(self, cycles: int):
        await until(
            self.dut.clk,
            lambda: not (self.fill_ends or self.row_writes),
            cycles,
            "the end of all moves",
        )


async def opened(dut) -> Bench:
    config = configuration()
    generator()
    await start(dut, "store__enable")
    bench = Bench(dut, config)
    await bench.stored()
    return bench
