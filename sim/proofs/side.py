"""SideReader: what a RUN reads beside lies in the words that it names, and comes once."""

from amaranth import Array, Module, Mux, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.config import Config
from ...hw.formats import ROUNDED, OutputFormat
from ...hw.tensor.side import SideReader
from .claims import constant

BLOCKS = 2
"""Row blocks of a RUN, at most."""
QUIET = 4
"""Cycles after which all that was asked for has come."""


class SideProof(wiring.Component):
    """One RUN of any kind that the judge lets pass; the memory and the columns take their time.

    One word of one part is watched, and what one column is given; the solver chooses which.
    """

    def __init__(self, config: Config):
        self.config = config
        words, few = range(8), range(4)  # numbers of few bits, so that the solver is done soon
        super().__init__(
            {
                "valid": In(1),
                "ready": In(1),
                "frees_addend": In(1),
                "frees_mask": In(1),
                "blocks": In(range(1, BLOCKS + 1)),
                "addend": In(1),
                "raw": In(1),
                "mask": In(1),
                "format": In(2),
                "place": In(2),
                "base": In(words),
                "words": In(words),
                "pitch": In(few),
                "groups": In(few),
                "plane": In(words),
                "mask_base": In(range(config.tensor_words)),
                "mask_words": In(words),
                "mask_pitch": In(few),
                "mask_groups": In(few),
                "watch_mask": In(1),
                "window": In(range(BLOCKS * config.rows // config.lanes)),
                "limb": In(range(config.raw_limbs)),
                "further": In(range(config.side_groups)),
                "column": In(range(config.columns)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.side = side = SideReader(config)
        free = ("valid", "ready", "frees_addend", "frees_mask")
        constant(m, *(getattr(self, name) for name in self.signature.members if name not in free))
        run, windows = side.runs.payload, config.rows // config.lanes
        # log2 of an element's bytes.
        element = Mux(self.format == OutputFormat.FP32, 2, self.format == OutputFormat.FP16)
        m.d.comb += [
            run.windows.eq(self.blocks * windows),
            *(getattr(run, name).eq(getattr(self, name)) for name in ("addend", "raw", "mask")),
            run.format.eq(self.format),
            run.plane.eq(self.plane),
            Assume(self.addend | self.mask),
            Assume(~self.raw | self.addend),
            Assume(self.blocks != 0),
            Assume(self.format <= max(ROUNDED)),
        ]
        addend = Mux(self.raw, 2, 0)
        planes = Mux(self.raw, config.raw_limbs - 1, 0)
        addends = self._operand(m, "addend", run.addends, addend, planes)
        masks = self._operand(m, "mask", run.masks, element, 0)

        # One RUN comes.
        came = Signal()
        m.d.comb += side.runs.valid.eq(self.valid & ~came)
        with m.If(side.runs.valid & side.runs.ready):
            m.d.sync += came.eq(1)

        # No read outside the words of either operand, whatever comes.
        port = side.port
        m.d.comb += port.ready.eq(self.ready)
        inside = [
            (port.address[0] >= first) & (port.address[0] < stop) & there
            for first, stop, _, there in (
                (*addends, self.addend),
                (*masks, self.mask),
            )
        ]
        m.d.comb += Assert(~port.valid | inside[0] | inside[1])

        # The watched word is read once, or never if the row has no such group.
        watched = zip(
            self._watched("mask_", masks[2], self.mask, 0),
            self._watched("", addends[2], self.addend, self.limb * self.plane),
            strict=True,
        )
        address, alone, wanted = (Mux(self.watch_mask, mask, addend) for mask, addend in watched)
        exists = alone & (self.window < self.blocks * windows) & (self.limb <= planes)
        read, reads = Signal(), Signal(2)
        m.d.comb += [
            read.eq(port.valid & port.ready & (port.address[0] == address) & exists),
            Assert(~read | ((reads == 0) & wanted)),
            # Words of the operands are told apart by their addresses.
            Assume(self.base + self.words + planes * self.plane <= self.mask_base),
            Assume((self.plane >= self.words) | ~self.raw),
        ]
        m.d.sync += reads.eq(reads + read)

        # Each column is given each window's addends, a limb after the other, and masks.
        given = Array(side.columns)[self.column]
        last = side.columns[config.columns - 1]
        total = self.blocks * windows
        some, zeros, unfreed, unfreed_masks = (Signal(6, name=f"given_{n}") for n in range(4))
        m.d.comb += [
            side.freed.addends.eq(self.frees_addend & (unfreed != 0)),
            side.freed.masks.eq(self.frees_mask & (unfreed_masks != 0)),
            Assert(some <= Mux(self.addend, total * (planes + 1), 0)),
            Assert(zeros <= Mux(self.mask, total, 0)),
            Assert(unfreed <= config.side_depth),
            Assert(unfreed_masks <= config.side_depth),
        ]
        m.d.sync += [
            some.eq(some + given.addend),
            zeros.eq(zeros + given.mask),
            unfreed.eq(unfreed + last.addend - side.freed.addends),
            unfreed_masks.eq(unfreed_masks + last.mask - side.freed.masks),
        ]
        # When nothing is asked for any more, all has come.
        quiet = Signal(range(QUIET + 1))
        busy = ~came | ~side.runs.ready | side.asked.valid
        m.d.sync += quiet.eq(Mux(busy, 0, Mux(quiet == QUIET, QUIET, quiet + 1)))
        with m.If(quiet == QUIET):
            m.d.comb += [
                Assert(some == Mux(self.addend, total * (planes + 1), 0)),
                Assert(zeros == Mux(self.mask, total, 0)),
                Assert(reads == (wanted & exists)),
                Cover(wanted & exists & self.addend & self.mask),
            ]
        return m

    def _operand(self, m: Module, name: str, place, element, planes):
        """Set an operand's place as the queue of commands does; returns the first word that it may
        read, the one behind the last, and the row's first group and how many it reaches into."""
        config, prefix = self.config, "" if name == "addend" else "mask_"
        base, words, pitch, groups = (
            getattr(self, prefix + field) for field in ("base", "words", "pitch", "groups")
        )
        # Elements of a byte, and multiples.
        windows, unit = config.rows // config.lanes, config.side_bits
        units = 8 * config.group_bytes // unit
        first = Signal(8, name=f"{name}_first")
        stop = Signal(range(2 * config.tensor_words), name=f"{name}_stop")
        reached = Signal(range(config.side_groups + 1), name=f"{name}_reached")
        group, room = first // units, groups - first // units
        there = getattr(self, name)
        m.d.comb += [
            first.eq(self.place << element),
            stop.eq(base + words + planes * self.plane),
            reached.eq(
                (first % units + (8 * config.columns // unit << element) + units - 1) // units
            ),
            place.windows.start.eq(base + group + (windows - 1) * pitch),
            place.windows.limit.eq(base + words - room),
            place.windows.pitch.eq(pitch),
            place.room.eq(Mux(room > config.side_groups, config.side_groups, room)),
            place.position.eq(first % units),
            # What the judge refuses.
            Assume(~there | ((stop <= config.tensor_words) & (group < groups))),
            Assume(~there | ((groups <= words) & (groups <= pitch))),
        ]
        return base, stop, (group, reached)

    def _watched(self, prefix: str, row, there, plane):
        """Where the watched word of an operand lies, whether it is its only word there, and whether
        it is to be read."""
        base, words, pitch, groups = (
            getattr(self, prefix + field) for field in ("base", "words", "pitch", "groups")
        )
        (group, reached), first = row, self.window * pitch
        at = group + self.further
        return (
            base + plane + first + at,
            (at < pitch) & (first + at < words),
            there & (first + groups <= words) & (at < groups) & (self.further < reached),
        )
