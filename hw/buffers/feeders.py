"""The skewed buffers at the array's west and north edges: one bank a row, one a column.

Each bank passes the read request on to the next one a cycle later, so bank i answers i cycles
behind the first: the skew that a systolic array wants costs one register a bank.

    write bus ─► decode ─┬────────┬────────┬── …
                         ▼        ▼        ▼
                      [bank 0] [bank 1] [bank 2]
    read request ─────►  ├─►[ ]─► ├─►[ ]─► ├─► …
                         ▼        ▼        ▼
                       link 0   link 1   link 2

The read and the write side never meet at one address: a LOAD waits until no RUN uses its page.
"""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..arith.operand import OperandDecoder
from ..config import Config
from ..isa.commands import Target
from ..isa.maps import address_bits, chunks
from ..layouts import group_signature, operand, weight_signature, write_signature
from ..lib.library import Library, instantiate
from ..lib.pipeline import register, register_unless


class Bank(wiring.Component):
    """A buffer of raw words with one write and one read port: simple dual-port block RAM.

    Latency: 1 cycle from `read_en` to `read_data`, which then stays. Reading and writing one
    address in one cycle is not allowed.
    """

    def __init__(self, width: int, depth: int):
        self.width, self.depth = width, depth
        super().__init__(
            {
                "write_en": In(1),
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
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write_en),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.en.eq(self.read_en),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m


class _ChunkWriter:
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


class _Decoders:
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


class ActivationFeeder(wiring.Component):
    """R banks of groups, decoded as they are written.

    Latency: a read of cycle t reaches row r's link in cycle t + 2 + r. Throughput: one group a
    row a cycle, no stalls. A chunk may be read 3 cycles after it was on the write bus.

    Members
    -------
    write : the write bus
    address, load : In, read request; `load` strobes
    groups : R group links
    nonfinite : Out(1), an infinity or NaN was written
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        super().__init__(
            {
                "write": In(write_signature(config)),
                "address": In(address_bits(config)[Target.ACTIVATIONS]),
                "load": In(1),
                "groups": Out(group_signature(config)).array(config.rows),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        group = data.ArrayLayout(operand(config.format), config.group)
        decoders = _Decoders(m, config, "activation")

        def decode(unit, raw):
            elements = [
                decoders(unit * config.group + i, raw.word_select(i, config.format.bits))
                for i in range(config.group)
            ]
            return Cat(elements)

        writer = _ChunkWriter(m, config, Target.ACTIVATIONS, self.write, group, decode)
        m.d.sync += self.nonfinite.eq(writer.selected & Cat(decoders.nonfinite).any())
        # A weight takes a cycle more behind its bank, a group before its own: it has fewer bits so.
        request = register(m, "request", {"address": self.address, "load": self.load})
        for row in range(config.rows):
            bank = Bank(Shape.cast(group).width, 2 * config.activation_groups)
            bank = instantiate(m, f"bank_{row}", bank, self.library)
            writer.drive(m, row, bank)
            m.d.comb += [
                bank.read_address.eq(request["address"]),
                bank.read_en.eq(request["load"]),
            ]
            request = register(m, f"row_{row}", request)
            m.d.comb += [
                self.groups[row].group.eq(bank.read_data),
                self.groups[row].load.eq(request["load"]),
            ]
        return m


class WeightFeeder(wiring.Component):
    """C banks of compact weights (value and index), decoded as they are written.

    Latency: a read of cycle t reaches column c's link in cycle t + 2 + c. Throughput: one slot
    a cycle, no stalls; without `valid` a bubble (weight zero) goes out, with `last` or without.
    A chunk may be read 3 cycles after it was on the write bus.

    Members
    -------
    write : the write bus
    address, valid, last : In, read request
    weights : C weight links
    nonzero : Out(range(C + 1)), weights that were not zero on the links three cycles ago
    nonfinite : Out(1), an infinity or NaN was written
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        super().__init__(
            {
                "write": In(write_signature(config)),
                "address": In(address_bits(config)[Target.VALUES]),
                "valid": In(1),
                "last": In(1),
                "weights": Out(weight_signature(config)).array(config.columns),
                "nonzero": Out(range(config.columns + 1)),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        decoders = _Decoders(m, config, "weight")
        values = _ChunkWriter(
            m, config, Target.VALUES, self.write, operand(config.format), decoders
        )
        indices = _ChunkWriter(
            m, config, Target.INDICES, self.write, config.index_bits, lambda _, raw: raw
        )
        m.d.sync += self.nonfinite.eq(values.selected & Cat(decoders.nonfinite).any())
        depth = 2 * config.weight_slots
        request = {"address": self.address, "valid": self.valid, "last": self.last}
        nonzero = []
        for column in range(config.columns):
            value = Bank(Shape.cast(operand(config.format)).width, depth)
            value = instantiate(m, f"values_{column}", value, self.library)
            index = Bank(config.index_bits, depth)
            index = instantiate(m, f"indices_{column}", index, self.library)
            values.drive(m, column, value)
            indices.drive(m, column, index)
            for bank in (value, index):
                m.d.comb += [
                    bank.read_address.eq(request["address"]),
                    bank.read_en.eq(request["valid"]),
                ]
            request = register(m, f"column_{column}", request)
            link = self.weights[column]
            # A block RAM answers late in its cycle, so its word goes into a register.
            weight = Mux(request["valid"], value.read_data, 0)
            slot = {"weight": weight, "index": index.read_data, "last": request["last"]}
            slot = register(m, f"slot_{column}", slot)
            m.d.comb += [getattr(link, name).eq(field) for name, field in slot.items()]
            nonzero.append(link.weight.value.any())
        some = register(m, "some", dict(enumerate(nonzero)))
        parts = [list(some.values())[at : at + 4] for at in range(0, len(some), 4)]
        parts = register(m, "part", {n: sum(part) for n, part in enumerate(parts)})
        m.d.sync += self.nonzero.eq(sum(parts.values()))
        return m
