"""The buffer at the array's west edge: a bank of groups for each row."""

from amaranth import Cat, Module, Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.commands import Target
from ..isa.maps import address_bits
from ..layouts import group_signature, operand, write_signature
from ..lib.library import Library, instantiate
from ..lib.pipeline import register
from .bank import Bank, ChunkWriter, Decoders


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
        decoders = Decoders(m, config, "activation")

        def decode(unit, raw):
            elements = [
                decoders(unit * config.group + i, raw.word_select(i, config.format.bits))
                for i in range(config.group)
            ]
            return Cat(elements)

        writer = ChunkWriter(m, config, Target.ACTIVATIONS, self.write, group, decode)
        m.d.sync += self.nonfinite.eq(writer.selected & Cat(decoders.nonfinite).any())
        # A weight is held for a cycle after its bank, and a group must take as long. Its request is
        # held before the bank instead: it has far fewer bits than a group.
        request = register(m, "request", {"address": self.address, "load": self.load})
        for row in range(config.rows):
            size = Shape.cast(group).width, 2 * config.activation_groups
            bank = instantiate(m, f"bank_{row}", Bank, *size, library=self.library)
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
