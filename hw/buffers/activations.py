"""The buffer at the array's west edge: a bank of groups for each row."""

from amaranth import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Target
from ..isa.maps import address_bits
from ..layouts.array import group_signature, operand, write_signature
from ..layouts.tensor import TURNED
from ..lib.library import Library, instantiate
from ..lib.pipeline import register
from .bank import Bank, ChunkWriter, Decoders


class ActivationFeeder(wiring.Component):
    """R banks of groups, decoded as they are written.

    Latency: a read of cycle t reaches row r's link in cycle t + 2 + r. Throughput: one group a
    row a cycle, no stalls. A chunk may be read 3 cycles after it was on the write bus.

    For training a chunk's groups may also be written to words that follow each other, or across:
    its groups' elements i to a part of row i's group, of M rows (`layouts.TURNED`). Either way an
    element passes one rotation, so that each part of a bank has one place that it is written from:
    of the chunk's elements that are the same modulo `lanes`, the one that both its row's and its
    own number name, added.

    Members
    -------
    write : the write bus
    turned : In(layouts.TURNED), for training, with it
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
                **({"turned": In(TURNED(config))} if config.training else {}),
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
        turned = self._turned(m, writer) if config.training else None
        # A weight is held for a cycle after its bank, and a group must take as long. Its request is
        # held before the bank instead: it has far fewer bits than a group.
        request = register(m, "request", {"address": self.address, "load": self.load})
        for row in range(config.rows):
            size = Shape.cast(group).width, 2 * config.activation_groups
            parts = (config.group // config.lanes,) if turned else ()
            bank = instantiate(m, f"bank_{row}", Bank, *size, *parts, library=self.library)
            writer.drive(m, row, bank)
            if turned:
                enable, element, word = turned
                elements = (element(row, e) for e in range(config.group))
                m.d.comb += [
                    bank.write_en.eq(enable(row)),
                    bank.write_data.eq(Cat(elements)),
                    bank.write_address.eq(word(row)),
                ]
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

    def _turned(self, m: Module, writer: ChunkWriter):
        """Which parts of a row's bank are written, with what element, and in which word: functions
        of a row, the second one also of a place in its group."""
        config, lanes = self.config, self.config.lanes
        parts = config.group // lanes
        turn = Mux(self.turned.transposed, self.turned.part, self.write.chunk % parts)
        fields = {"across": self.turned.transposed, "turn": turn}
        fields |= {"grouped": self.turned.grouped, "word": self.turned.turn}
        taken = register(m, "turned", fields)
        across, turn = taken["across"], taken["turn"]
        rotated = {}
        for first in range(lanes):
            for second in range(lanes):
                # Of those, a row's part is `parts` elements that are `lanes` apart; or, across, of
                # another group those of as many rows.
                chosen = [
                    Mux(
                        across,
                        Value.cast(writer.data[second][n * lanes + first]),
                        Value.cast(writer.data[first][n * lanes + second]),
                    )
                    for n in range(parts)
                ]
                # Rotated by 1, by 2, by 4: fewer multiplexers than a choice of all.
                for bit in range(len(turn)):
                    by, before = 1 << bit, chosen
                    chosen = [
                        Signal.like(one, name=f"turned_{first}_{second}_{by}_{n}")
                        for n, one in enumerate(before)
                    ]
                    m.d.comb += [
                        chosen[n].eq(Mux(turn[bit], before[n - by], before[n]))
                        for n in range(parts)
                    ]
                for n, place in enumerate(chosen):
                    rotated[first, second, n] = place

        def enable(row: int):
            mine = writer.enable[row // config.group] & across
            own = writer.enable[row // lanes] & ~across
            return Cat(own | (mine & (turn == part)) for part in range(parts))

        def element(row: int, place: int):
            both = row // lanes + place // lanes
            return rotated[row % lanes, place % lanes, both % parts]

        def word(row: int):
            among = (row + taken["word"])[: len(taken["word"])]
            return writer.address | Mux(taken["grouped"], among, 0)

        return enable, element, word
