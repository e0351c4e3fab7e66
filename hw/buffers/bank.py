"""The banks of the skewed buffers at the array's edges, and what writes into them.

One bank a row, one a column. Each passes the read request on to the next one a cycle later, so
bank i answers i cycles behind the first: the skew that a systolic array wants costs one register a
bank.

    write bus ─► decode ─┬────────┬────────┬── …
                         ▼        ▼        ▼
                      [bank 0] [bank 1] [bank 2]
    read request ─────►  ├─►[ ]─► ├─►[ ]─► ├─► …
                         ▼        ▼        ▼
                       link 0   link 1   link 2

The read and the write side never meet at one address: a LOAD waits until no RUN uses its page.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith.operand import OperandDecoder
from ..config import Config
from ..isa.codes import Target
from ..isa.maps import address_bits, chunks
from ..lib.pipeline import register_unless


class Bank(wiring.Component):
    """A buffer of raw words with one write and one read port: simple dual-port block RAM.

    Each of a word's `parts` is written if its bit of `write_en` is set. Latency: 1 cycle from
    `read_en` to `read_data`, which then stays. Reading and writing one address in one cycle is not
    allowed.
    """

    def __init__(self, width: int, depth: int, parts: int = 1):
        self.width, self.depth, self.parts = width, depth, parts
        super().__init__(
            {
                "write_en": In(parts),
                "write_address": In(range(depth)),
                "write_data": In(width),
                "read_en": In(1),
                "read_address": In(range(depth)),
                "read_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=self.width, depth=self.depth, init=[], attrs={"no_rw_check": 1}
        )
        part = None if self.parts == 1 else self.width // self.parts
        write, read = memory.write_port(granularity=part), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read_en),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m


class ChunkWriter:
    """Takes one target's chunks off the write bus and hands them to banks."""

    def __init__(self, m: Module, config: Config, target: Target, bus, decoded_shape, decode):
        self.chunks = chunks(config)[target]
        name = target.name.lower()
        self.selected = bus.valid & (bus.target == target)
        enable = Cat(self.selected & (bus.chunk == n) for n in range(self.chunks.per_word))
        chunk = Signal(data.ArrayLayout(decoded_shape, self.chunks.size))
        for unit in range(self.chunks.size):
            raw = bus.data.word_select(unit, self.chunks.unit_bits)
            m.d.comb += chunk[unit].eq(decode(unit, raw))
        address = bus.address[: address_bits(config)[target]]
        taken = {"enable": enable, "address": address, "data": chunk}
        taken = register_unless(config.compact, m, name, taken)
        self.enable, self.address, self.data = taken.values()

    def drive(self, m: Module, number: int, bank: Bank):
        """Connect the bank for unit `number` of every word."""
        chunk, unit = divmod(number, self.chunks.size)
        m.d.comb += [
            bank.write_en.eq(self.enable[chunk]),
            bank.write_address.eq(self.address),
            bank.write_data.eq(self.data[unit]),
        ]


class Decoders:
    """Operand decoders for the elements of a chunk; gathers their `nonfinite`."""

    def __init__(self, m: Module, config: Config, name: str):
        self._m, self._format, self._name = m, config.format, name
        self.nonfinite = []

    def __call__(self, number: int, raw):
        decoder = OperandDecoder(self._format)
        self._m.submodules[f"decode_{self._name}_{number}"] = decoder
        self._m.d.comb += decoder.raw.eq(raw)
        self.nonfinite.append(decoder.nonfinite)
        return decoder.operand
