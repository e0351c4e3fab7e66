"""The buffer at the array's north edge: a bank of values and one of indices for each column."""

from amaranth import Cat, Module, Mux, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..isa.codes import Target
from ..isa.maps import address_bits
from ..layouts.array import HOLDING, operand, weight_signature, write_signature
from ..layouts.tensor import SKEWED
from ..lib.library import Library, instantiate
from ..lib.pipeline import register
from .bank import Bank, ChunkWriter, Decoders


class WeightFeeder(wiring.Component):
    """C banks of compact weights (value and index), decoded as they are written.

    Latency: a read of cycle t reaches column c's link in cycle t + 2 + c. Throughput: one slot
    a cycle, no stalls; without `valid` a bubble (weight zero) goes out, with `last` or without.
    A chunk may be read 3 cycles after it was on the write bus.

    Members
    -------
    write : the write bus
    indices : with tensor memory, a write bus for indices alone
    address, valid, last : In, read request
    index_address, mute, holding : In, for training, with it: where the index lies, whether the
        weight is zero, and layouts.HOLDING, which go with the weight
    skewed : In(layouts.SKEWED), for training, with values on the write bus
    weights : C weight links
    nonzero : Out(range(C + 1)), weights that were not zero on the links three cycles ago
    nonfinite : Out(1), an infinity or NaN was written
    """

    def __init__(self, config: Config, library: Library | None = None):
        self.config = config
        self.library = library
        memory = {"indices": In(write_signature(config))} if config.tensor_words else {}
        if config.training:
            memory |= {
                "skewed": In(SKEWED(config)),
                "index_address": In(address_bits(config)[Target.INDICES]),
                "mute": In(1),
                "holding": In(HOLDING),
            }
        super().__init__(
            memory
            | {
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
        decoders = Decoders(m, config, "weight")
        values = ChunkWriter(m, config, Target.VALUES, self.write, operand(config.format), decoders)
        bus = self.indices if config.tensor_words else self.write
        indices = ChunkWriter(m, config, Target.INDICES, bus, config.index_bits, lambda _, raw: raw)
        m.d.sync += self.nonfinite.eq(values.selected & Cat(decoders.nonfinite).any())
        skewed = self._skewed(m, values) if config.training else None
        depth = 2 * config.weight_slots
        request = {"address": self.address, "valid": self.valid, "last": self.last}
        if config.training:
            names = "index_address", "mute", "holding"
            request |= {name: getattr(self, name) for name in names}
        value_bits = Shape.cast(operand(config.format)).width
        widths = {"values": value_bits, "indices": config.index_bits}
        nonzero = []
        for column in range(config.columns):
            value, index = (
                instantiate(m, f"{name}_{column}", Bank, width, depth, library=self.library)
                for name, width in widths.items()
            )
            values.drive(m, column, value)
            if skewed:
                m.d.comb += value.write_address.eq(skewed[column // config.group])
            indices.drive(m, column, index)
            places = request["address"], request.get("index_address", request["address"])
            for bank, place in zip((value, index), places, strict=True):
                m.d.comb += [bank.read_address.eq(place), bank.read_en.eq(request["valid"])]
            request = register(m, f"column_{column}", request)
            link = self.weights[column]
            # A block RAM answers late in its cycle, so its word goes into a register.
            weight = Mux(request["valid"], value.read_data, 0)
            slot = {"weight": weight, "index": index.read_data, "last": request["last"]}
            if config.training:
                weighs, holding = request["valid"] & ~request["mute"], request["holding"]
                slot["weight"] = Mux(weighs, value.read_data, 0)
                # A bubble's index is 0: elements take it after a reset.
                slot["index"] = Mux(request["valid"], index.read_data, 0)
                slot |= {name: holding[name] for name in HOLDING.members}
            slot = register(m, f"slot_{column}", slot)
            m.d.comb += [getattr(link, name).eq(field) for name, field in slot.items()]
            nonzero.append(link.weight.value.any())
        some = register(m, "some", dict(enumerate(nonzero)))
        parts = [list(some.values())[at : at + 4] for at in range(0, len(some), 4)]
        parts = register(m, "part", {n: sum(part) for n, part in enumerate(parts)})
        m.d.sync += self.nonzero.eq(sum(parts.values()))
        return m

    def _skewed(self, m: Module, values: ChunkWriter) -> list:
        """The slot that each group of columns takes of a chunk: of one that is skewed one of as
        many slots as it has groups."""
        fields = {"skewed": self.skewed.skewed, "turn": self.skewed.turn}
        taken = register(m, "skewed", fields)
        slots = []
        for number in range(self.config.columns // self.config.group):
            among = (number - taken["turn"])[: len(self.skewed.turn)]
            slots.append(values.address | Mux(taken["skewed"], among, 0))
        return slots
