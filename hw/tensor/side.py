"""The side reader: addends and masks of a RUN's rows, from tensor memory to the columns.

    RUN ─► next word ─► read port ─► word ─┬─► pick ─► column 0's queues
           (window, part, group)           ├─► pick ─► column 1's queues
                                           └─► …

A window's rows lie beside each other in its words, so a word brings a group of each lane's row. The
parts of a window follow each other: its addends, or of RAW ones a limb after the other, then its
masks. Each column picks its element out of its group, wherever in the group a row begins.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..formats import ROUNDED, OutputFormat
from ..layouts.output import SIDE, SIDE_FREED, SIDE_ROWS
from ..layouts.tensor import READ_PORT
from ..lib.pipeline import delay
from .memory import TensorMemory
from .windows import Windows


class SideReader(wiring.Component):
    """Read what each RUN wants beside, from a tile's last window to its first.

    Latency: 5 cycles from a RUN to its first operands. Throughput: a word a cycle, also from one
    RUN to the next; a word that would lie outside what the RUN may read is a zero, and takes its
    cycle. Stall rule: waits for the memory, and while the columns' queues are full.

    The last column is the last to use what it is given, so it alone tells what is free again.

    Members
    -------
    runs : In stream of layouts.SIDE, whose operands are in memory
    port : Out(layouts.READ_PORT)
    columns : C x Out(layouts.SIDE_ROWS)
    freed : In(layouts.SIDE_FREED), of the last column
    """

    def __init__(self, config: Config):
        self.config = config
        self.addends_room = Signal(range(config.side_depth + 1), init=config.side_depth)
        self.masks_room = Signal(range(config.side_depth + 1), init=config.side_depth)
        asked = {"valid": 1, "address": range(config.tensor_words), "token": self._token()}
        self.asked = Signal(data.StructLayout(asked))
        """A word that the memory is asked for."""
        super().__init__(
            {
                "runs": In(stream.Signature(SIDE(config))),
                "port": Out(READ_PORT(config)),
                "columns": Out(SIDE_ROWS(config)).array(config.columns),
                "freed": In(SIDE_FREED(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        token, asked, port = self._ask(m), self.asked, self.port
        m.d.comb += [
            port.valid.eq(asked.valid & ~asked.token.nothing),
            *(address.eq(asked.address) for address in port.address),
        ]
        came = delay(m, "fetched", token, TensorMemory.LATENCY)
        # To the columns is far, so what came goes into registers first.
        there = delay(m, "there", came, 1)
        word = Signal.like(port.data, reset_less=True)
        m.d.sync += word.eq(Mux(came.nothing, 0, port.data))
        nonzero = self._nonzero(word)
        for c, column in enumerate(self.columns):
            self._pick_addend(m, c, column, there, word)
            self._pick_mask(m, c, column, there, nonzero)
        return m

    def _token(self) -> data.StructLayout:
        """What is known of a word: whose part it is, which of its groups, and whether it is
        `nothing` that there is in memory."""
        return data.StructLayout(
            {
                "valid": 1,
                "nothing": 1,
                "mask": 1,
                "raw": 1,
                "format": 2,
                "group": range(self.config.side_groups),
                "position": range(8 * self.config.group_bytes // self.config.side_bits),
            }
        )

    def _ask(self, m: Module):
        """Word after word of the RUNs; returns the token of one that the memory takes."""
        config, asked = self.config, self.asked
        m.submodules.addends = addends = Windows(config)
        m.submodules.masks = masks = Windows(config)
        free, go, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(asked.valid & (self.port.ready | asked.token.nothing)),
            free.eq(~asked.valid | taken),
        ]
        token = Signal(self._token())
        m.d.comb += [token.eq(asked.token), token.valid.eq(taken)]

        run, active = Signal(SIDE(config), reset_less=True), Signal()
        masking, limb, group = Signal(), Signal(range(4)), Signal(range(config.side_groups))
        plane = Signal(range(config.tensor_words))
        place = Mux(masking, run.masks.as_value(), run.addends.as_value())
        place = data.View(run.masks.shape(), place)
        # Whether this is the last one, of a part, of the addends, of the window, of the RUN.
        ends, last_limb, last_part, last = Signal(), Signal(), Signal(), Signal()
        room = Mux(masking, self.masks_room != 0, self.addends_room != 0)
        count = self._groups(m, run, masking, place.position)
        m.d.comb += [
            go.eq(active & room & free),
            ends.eq(group == count - 1),
            last_limb.eq(~run.raw | (limb == config.raw_limbs - 1)),
            last_part.eq(masking | (last_limb & ~run.mask)),
            last.eq(ends & last_part & (run.windows == 1)),
            self.runs.ready.eq(~active | (go & last)),
        ]
        for walk, operand in ((addends, run.addends), (masks, run.masks)):
            m.d.comb += [
                walk.place.eq(operand.windows),
                walk.next.eq(go & ends & last_part),
                walk.final.eq(run.windows == 1),
            ]
        here = Mux(masking, masks.address, addends.address + plane)
        outside = Mux(masking, masks.outside, addends.outside)
        with m.If(free):
            m.d.sync += [
                asked.valid.eq(go),
                asked.address.eq(here + group),
                asked.token.nothing.eq(outside | (group >= place.room)),
                asked.token.mask.eq(masking),
                asked.token.raw.eq(run.raw),
                asked.token.format.eq(run.format),
                asked.token.group.eq(group),
                asked.token.position.eq(place.position),
            ]
        with m.If(go):
            m.d.sync += group.eq(Mux(ends, 0, group + 1))
            with m.If(ends & ~masking):
                m.d.sync += [limb.eq(limb + 1), plane.eq(plane + run.plane)]
            with m.If(ends & ~masking & last_limb):
                m.d.sync += [limb.eq(0), plane.eq(0), masking.eq(run.mask)]
            with m.If(ends & masking):
                m.d.sync += masking.eq(~run.addend)
            with m.If(ends & last_part):
                m.d.sync += run.windows.eq(run.windows - 1)
        with m.If(self.runs.ready):
            m.d.sync += [
                active.eq(self.runs.valid),
                run.eq(self.runs.payload),
                masking.eq(~self.runs.payload.addend),
            ]
        m.d.sync += [
            self.addends_room.eq(self.addends_room + self.freed.addends - (go & ends & ~masking)),
            self.masks_room.eq(self.masks_room + self.freed.masks - (go & ends & masking)),
        ]
        return token

    def _groups(self, m: Module, run, masking: Signal, position) -> Signal:
        """Into how many groups a row of the part at hand reaches."""
        config = self.config
        units = 8 * config.group_bytes // config.side_bits
        count = Signal(range(config.side_groups + 1))

        def reached(bits: int):
            return (position + (config.columns * bits // config.side_bits + units - 1)) // units

        with m.If(masking), m.Switch(run.format):
            for output in ROUNDED:
                with m.Case(output):
                    m.d.comb += count.eq(reached(8 * output.bytes))
        with m.Else():
            m.d.comb += count.eq(Mux(run.raw, reached(32), reached(config.format.bits)))
        return count

    def _places(self, bits: int, column: int):
        """Where a column's element of so many bits lies, by the position at which its row begins:
        in which group, and which of that group's elements it is."""
        config = self.config
        size, unit = 8 * config.group_bytes, config.side_bits
        # Rows begin at multiples of `store_bytes` elements.
        for position in range(0, size // unit, bits * config.store_bytes // unit):
            yield position, divmod(position * unit // bits + column, size // bits)

    def _pick_addend(self, m: Module, c: int, column, there, word: Signal):
        """Hand a column its addends of a window, or their limbs."""
        size = 8 * self.config.group_bytes
        m.d.comb += column.raw.eq(there.raw)
        for raw, bits in enumerate((self.config.format.bits, 32)):
            for position, (group, at) in self._places(bits, c):
                here = there.valid & ~there.mask & (there.raw == raw)
                with m.If(here & (there.position == position) & (there.group == group)):
                    m.d.comb += column.addend.eq(1)
                with m.If((there.raw == raw) & (there.position == position)):
                    m.d.comb += [
                        value.eq(word.word_select(lane, size).word_select(at, bits))
                        for lane, value in enumerate(column.values)
                    ]

    def _nonzero(self, word: Signal) -> dict[OutputFormat, list]:
        """By the format, which elements of each lane are not zero, of either sign."""
        size = 8 * self.config.group_bytes
        lanes = [word.word_select(lane, size) for lane in range(self.config.lanes)]
        signed_zero = {output: output is not OutputFormat.INT8 for output in ROUNDED}
        return {
            output: [
                Cat(
                    lane[at : at + 8 * output.bytes - signed_zero[output]].any()
                    for at in range(0, size, 8 * output.bytes)
                )
                for lane in lanes
            ]
            for output in ROUNDED
        }

    def _pick_mask(self, m: Module, c: int, column, there, nonzero: dict[OutputFormat, list]):
        """Tell a column where the mask of a window is zero."""
        for output in ROUNDED:
            for position, (group, at) in self._places(8 * output.bytes, c):
                here = (there.format == output) & (there.position == position)
                with m.If(there.valid & there.mask & here & (there.group == group)):
                    m.d.comb += [
                        column.mask.eq(1),
                        column.zeros.eq(~Cat(lane[at] for lane in nonzero[output])),
                    ]
