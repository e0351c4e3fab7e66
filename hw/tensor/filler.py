"""The filler: weights, their indices, group records and column settings from tensor memory to
where the array finds them."""

from enum import IntEnum

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..buffers.payload import PayloadUnpacker
from ..config import Config
from ..isa.codes import Target
from ..layouts.array import settings_signature, write_signature
from ..layouts.tensor import DEAL, DENSE, FILL, READ_PORT, SKEWED
from ..lib.connect import connect_checked, either
from ..lib.fifo import Fifo
from .beats import BeatReader
from .biases import BiasDealer
from .dense import DiagonalReader, PlaceWriter
from .settings import SettingsDealer
from .share import PortShare

DEALS_AHEAD = 2
"""Of a buffer, whose words are read while another one's are dealt out."""
FILLS_INSIDE = 4
"""That have begun and not ended."""


class Dealer(wiring.Component):
    """Deal words out to one buffer after another, as a LOAD's payload is.

    Latency: 6 cycles from `deals` to the first chunk. Throughput: a chunk a cycle, and two cycles
    more for each of `deals`, whose words are read ahead. Stall rule: waits for the memory alone.

    Members
    -------
    deals : In stream of layouts.DEAL
    port : Out(layouts.READ_PORT)
    write : Out, the write bus
    finished : Out(1), the last chunk is on the bus, or the words have run out
    fault : Out(1), with the end of words that did not end with the last chunk, or that had a group
        record that counts more weights than a group has
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "deals": In(stream.Signature(DEAL(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "finished": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = BeatReader(self.config)
        m.submodules.unpacker = unpacker = PayloadUnpacker(self.config)
        m.submodules.queue = queue = Fifo(DEAL(self.config), DEALS_AHEAD)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        connect_checked(m, unpacker.write, wiring.flipped(self.write))
        deal = queue.o.payload
        m.d.comb += [
            reader.words.payload.eq(self.deals.payload.words),
            reader.words.valid.eq(self.deals.valid & queue.i.ready),
            queue.i.payload.eq(self.deals.payload),
            queue.i.valid.eq(self.deals.valid & reader.words.ready),
            self.deals.ready.eq(reader.words.ready & queue.i.ready),
            unpacker.target.eq(deal.target),
            unpacker.address.eq(deal.address),
            unpacker.count.eq(deal.count),
            unpacker.i.payload.eq(reader.o.payload),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [queue.o.ready.eq(1), unpacker.start.eq(queue.o.valid)]
                with m.If(queue.o.valid):
                    m.next = "DEAL"
            with m.State("DEAL"):
                m.d.comb += [
                    unpacker.i.valid.eq(reader.o.valid),
                    reader.o.ready.eq(unpacker.i.ready),
                ]
                with m.If(unpacker.done):
                    m.d.comb += [
                        self.fault.eq(unpacker.bad_length | unpacker.bad_schedule),
                        self.finished.eq(unpacker.ended),
                    ]
                    m.next = "DISCARD"
                    with m.If(unpacker.ended):
                        m.next = "IDLE"
            with m.State("DISCARD"):
                m.d.comb += reader.o.ready.eq(1)
                with m.If(reader.o.valid & reader.o.payload.last):
                    m.d.comb += self.finished.eq(1)
                    m.next = "IDLE"
        return m


class Way(IntEnum):
    """What works on a FILL, by its place among all; for training there are the last three."""

    VALUES = 0
    INDICES = 1
    SETTINGS = 2
    DIAGONAL = 3
    PLACES = 4
    BIASES = 5


class Filler(wiring.Component):
    """Take one FILL after another: values with their indices, one kind of word, or settings; for
    training also DENSEs, whose buses are the same.

    Latency: 7 cycles from a FILL to its first chunk. Throughput: a chunk of each bus a cycle, and
    two cycles more for each FILL; all read through one port, a word a cycle. Stall rule: waits for
    the memory alone; and, for training, for all before it that share its bus and are of the other
    kind: DENSEs and FILLs of values or indices, biases and whole settings.

    Members
    -------
    fills : In stream of layouts.FILL
    port : Out(layouts.READ_PORT)
    write, indices : Out, write buses: indices that come beside their values have one of their own
    settings : Out, the settings bus
    finished : Out(1), a FILL's last chunk is on its bus, or its words have run out
    setting : Out(1), the FILL that is to be finished next sets columns
    faults : Out(3), of values, indices or settings: their words were not as they should be
    skewed : Out(layouts.SKEWED), for training: how values are written
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "fills": In(stream.Signature(FILL(config))),
                "port": Out(READ_PORT(config)),
                "write": Out(write_signature(config)),
                "indices": Out(write_signature(config)),
                "settings": Out(settings_signature(config)),
                "finished": Out(1),
                "setting": Out(1),
                "faults": Out(3),
                **({"skewed": Out(SKEWED(config))} if config.training else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.share = share = PortShare(self.config)
        m.submodules.share_words = share_words = PortShare(self.config)
        m.submodules.values = values = Dealer(self.config)
        m.submodules.indices = indices = Dealer(self.config)
        m.submodules.settings = settings = SettingsDealer(self.config)
        connect_checked(m, share_words.port, share.readers[0])
        connect_checked(m, settings.port, share.readers[1])
        connect_checked(m, values.port, share_words.readers[0])
        connect_checked(m, indices.port, share_words.readers[1])
        fill, dealers = self.fills.payload, (values, indices, settings)
        # All indices go one way, or they would overtake each other.
        alone, beside = fill.target == Target.INDICES, fill.indices.count != 0
        usual = ~fill.dense & ~fill.biases if self.config.training else Const(1)
        wanted = [
            usual & ~fill.settings & ~alone,
            usual & ~fill.settings & (alone | beside),
            usual & fill.settings,
        ]
        ways = [dealer.deals for dealer in dealers]
        ends = [dealer.finished for dealer in dealers]
        faults = [dealer.fault for dealer in dealers]
        for dealer in dealers:
            deal = dealer.deals.payload
            first = Mux(alone | (dealer is not indices), fill.words, fill.indices)
            m.d.comb += [
                deal.target.eq(Target.INDICES if dealer is indices else fill.target),
                deal.address.eq(fill.address),
                deal.count.eq(fill.count),
                Value.cast(deal.words).eq(first),
            ]
        takes, allowed = Signal(), Const(1)
        if self.config.training:
            diagonal, places, biases = self._training(m, share, values, indices, settings)
            wanted += [fill.dense, fill.dense, fill.biases]
            ways += [diagonal.rows, places.rows, biases.deals]
            ends += [diagonal.finished, places.finished, biases.finished]
            faults[0] = faults[0] | diagonal.fault
            faults[2] = faults[2] | biases.fault
        else:
            connect_checked(m, share.port, wiring.flipped(self.port))
            connect_checked(m, values.write, wiring.flipped(self.write))
            connect_checked(m, indices.write, wiring.flipped(self.indices))
            connect_checked(m, settings.settings, wiring.flipped(self.settings))
        wanted = Cat(wanted)
        m.submodules.begun = begun = Fifo(data.ArrayLayout(1, len(ways)), FILLS_INSIDE)
        setting = begun.o.payload[Way.SETTINGS]
        if self.config.training:
            setting |= begun.o.payload[Way.BIASES]
            ending = begun.o.payload.as_value() & self.finished.replicate(len(ways))
            words, rows = (Way.VALUES, Way.INDICES), (Way.DIAGONAL, Way.PLACES)
            allowed = self._one_kind(m, takes, wanted, ending, words, rows)
            allowed &= self._one_kind(m, takes, wanted, ending, (Way.SETTINGS,), (Way.BIASES,))
        free = Cat(~wants | way.ready for wants, way in zip(wanted, ways, strict=True)).all()
        ready = allowed & free
        # What each of the FILLs that have begun waits for, and what has ended of the later ones.
        m.d.comb += [
            self.fills.ready.eq(ready & begun.i.ready),
            takes.eq(self.fills.valid & self.fills.ready),
            begun.i.valid.eq(self.fills.valid & ready),
            begun.i.payload.eq(wanted),
            begun.o.ready.eq(self.finished),
            self.faults.eq(Cat(faults)),
        ]
        waits = Signal(len(ways))
        for n, (way, end) in enumerate(zip(ways, ends, strict=True)):
            over = Signal(range(2 * FILLS_INSIDE), name=f"over_{n}")
            m.d.comb += [
                way.valid.eq(takes & wanted[n]),
                waits[n].eq(begun.o.payload[n] & (over == 0)),
            ]
            m.d.sync += over.eq(over + end - (self.finished & begun.o.payload[n]))
        m.d.comb += [
            self.finished.eq(begun.o.valid & (waits == 0)),
            self.setting.eq(begun.o.valid & setting),
        ]
        return m

    def _training(
        self,
        m: Module,
        share: PortShare,
        values: Dealer,
        indices: Dealer,
        settings: SettingsDealer,
    ) -> tuple[DiagonalReader, PlaceWriter, BiasDealer]:
        """What works on DENSEs and biases, on the same port and buses as the others."""
        config, fill = self.config, self.fills.payload
        m.submodules.share_dense = share_dense = PortShare(config)
        m.submodules.share_biases = share_biases = PortShare(config)
        m.submodules.diagonal = diagonal = DiagonalReader(config)
        m.submodules.places = places = PlaceWriter(config)
        m.submodules.biases = biases = BiasDealer(config)
        connect_checked(m, share_biases.port, wiring.flipped(self.port))
        connect_checked(m, share_dense.port, share_biases.readers[0])
        connect_checked(m, biases.port, share_biases.readers[1])
        connect_checked(m, share.port, share_dense.readers[0])
        connect_checked(m, diagonal.port, share_dense.readers[1])
        for bus, usual, other in (
            (self.write, values.write, diagonal.write),
            (self.indices, indices.write, places.write),
            (self.settings, settings.settings, biases.settings),
        ):
            either(m, bus, other.valid, other, usual)
        m.d.comb += [
            self.skewed.eq(diagonal.skewed),
            biases.deals.payload.address.eq(fill.address),
            biases.deals.payload.count.eq(fill.count),
            biases.deals.payload.words.eq(fill.words),
        ]
        for rows in (diagonal.rows.payload, places.rows.payload):
            m.d.comb += [
                Value.cast(rows[name]).eq(Value.cast(fill[name])) for name in DENSE(config).members
            ]
        return diagonal, places, biases

    def _one_kind(
        self, m: Module, takes, wanted, ending, usual: tuple[Way, ...], other: tuple[Way, ...]
    ) -> Value:
        """Whether what is offered does not meet the other kind of ways to the same bus."""

        def of(ways: Value, kind: tuple[Way, ...]) -> Value:
            return Cat(ways[n] for n in kind).any()

        free = []
        for mine, theirs in ((usual, other), (other, usual)):
            inside = Signal(range(FILLS_INSIDE + 1))
            m.d.sync += inside.eq(inside + (takes & of(wanted, theirs)) - of(ending, theirs))
            free.append(~of(wanted, mine) | (inside == 0))
        return free[0] & free[1]
