"""Store: rows reach the words that their RUN names, once, and no others."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.formats import OutputFormat
from ...hw.tensor.store import Store
from .claims import constant

BLOCKS = 2
"""Row blocks of a RUN, at most."""


class StoreProof(wiring.Component):
    """RUN after RUN of one kind, in any format and to any place that the judge lets pass; rows come
    when they like.

    One group of one row is watched, of RAW sums in one plane, which the solver chooses: the claims
    hold for each.
    """

    def __init__(self, config: Config):
        self.config = config
        words, few = range(16), range(5)  # numbers of few bits, so that the solver is done soon
        super().__init__(
            {
                "valid": In(1),
                "format": In(2),
                "more_blocks": In(range(BLOCKS)),
                "destination": In(words),
                "words": In(words),
                "pitch": In(few),
                "groups": In(few),
                "group": In(few),
                "position": In(range(config.group_bytes // config.store_bytes)),
                "pad": In(1),
                "plane": In(words),
                "limb": In(range(OutputFormat.RAW.limbs)),
                "row": In(range(BLOCKS * config.rows)),
                "further": In(range(config.store_groups)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.store = store = Store(config)
        windows, lanes = config.rows // config.lanes, config.lanes
        units, place = config.group_bytes // config.store_bytes, store.run.place
        constant(m, *(getattr(self, name) for name in self.signature.members if name != "valid"))
        room = self.groups - self.group
        end, plane = Signal(range(2 * config.tensor_words + 1)), Signal(range(config.tensor_words))
        limbs = OutputFormat.RAW.limbs
        is_raw = self.format == OutputFormat.RAW
        m.d.comb += [
            end.eq(self.destination + self.words),
            plane.eq(Mux(is_raw, self.plane, 0)),
            # What the judge refuses.
            Assume(end + (limbs - 1) * plane <= config.tensor_words),
            Assume(~is_raw | (self.plane >= self.words)),
            Assume((self.groups <= self.words) & (self.groups <= self.pitch)),
            Assume(self.group < self.groups),
            Assume(self.format <= max(OutputFormat)),
            # Between a row's groups and the next one's may lie other things, which are watched too.
            Assume(self.group + self.further < self.pitch),
            place.windows.start.eq(self.destination + self.group + (windows - 1) * self.pitch),
            place.windows.limit.eq(end - room),
            place.windows.pitch.eq(self.pitch),
            place.room.eq(Mux(room > config.store_groups, config.store_groups, room)),
            place.position.eq(self.position),
            place.pad.eq(self.pad),
            place.plane.eq(self.plane),
            store.run.format.eq(self.format),
        ]
        # Rows come one after another; the last of a RUN is known as such.
        came = Signal(range(BLOCKS * config.rows * limbs))
        final = came == (self.more_blocks + 1) * Mux(is_raw, limbs, 1) * config.rows - 1
        taken = self.valid & store.row.go
        m.d.comb += [store.row.valid.eq(self.valid), store.row.final.eq(final)]
        waits = Signal()
        m.d.sync += waits.eq(self.valid & ~taken)
        m.d.comb += Assume(~waits | self.valid)
        with m.If(taken):
            m.d.sync += came.eq(Mux(final, 0, came + 1))

        # No write outside the words, whatever comes.
        port = store.port
        for lane in range(lanes):
            enable, address = port.enable.word_select(lane, units), port.address[lane]
            inside = Cat(
                (address >= self.destination + limb * plane) & (address < end + limb * plane)
                for limb in range(limbs)
            )
            m.d.comb += Assert((enable == 0) | inside.any())

        # The watched group: where it belongs, and whether it is to be written.
        window = Signal(range(BLOCKS * windows))
        beside, wanted, reaches = Signal(range(lanes)), Signal(), Signal(range(32))
        first = Signal(range(config.tensor_words * (BLOCKS * windows + 1)))
        m.d.comb += [
            window.eq(self.row // lanes),
            beside.eq(self.row % lanes),
            first.eq(window * self.pitch),
            # Rows that are not RAW have one plane.
            Assume(is_raw | (self.limb == 0)),
            # Of RAW rows, only in its own plane: what lies behind that is another one's.
            Assume(~is_raw | (first + self.group + self.further < self.words)),
        ]
        with m.Switch(self.format):
            for output in OutputFormat:
                filled = config.columns * output.result_bits // 8 // config.store_bytes
                with m.Case(output):
                    m.d.comb += reaches.eq((self.position + (filled + units - 1)) // units)
        m.d.comb += wanted.eq(
            (self.row < (self.more_blocks + 1) * config.rows)
            & (first + self.groups <= self.words)
            & (self.further < room)
            & (self.further < reaches)
        )
        writes = Signal()
        with m.Switch(beside):
            for lane in range(lanes):
                with m.Case(lane):
                    here = port.address[lane] == (
                        self.destination
                        + first
                        + self.group
                        + self.further
                        + Mux(is_raw, self.limb * self.plane, 0)
                    )
                    enable = port.enable.word_select(lane, units)
                    m.d.comb += writes.eq(here & (enable != 0))
        # A RUN ends before the next one's rows are written, or this proof would mix them up.
        written, open_ = Signal(2), Signal(range(4))
        m.d.sync += open_.eq(open_ + (taken & final) - store.finished)
        m.d.comb += Assume(~(taken & (open_ != 0)))
        with m.If(store.finished):
            m.d.comb += [Assert(written + writes == wanted), Cover(wanted & (came == 0))]
            m.d.sync += written.eq(0)
        with m.Else():
            m.d.sync += written.eq(written + writes)
        m.d.comb += Assert(written < 2)
        return m
