"""Biases from tensor memory: a row of binary32 becomes columns' settings that add it and no more.

words ─► BeatReader ─► [elements of the first lane's row] ─► FixedPoint ─► settings bus
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import BINARY32
from ..config import Config
from ..isa.descriptors import BIAS_BYTES
from ..layouts.tensor import DEAL
from ..lib.connect import connect_checked
from .beats import BeatReader
from .settings import dealer_members

PLACE = 127 + 23
"""A binary32's exponent where its fraction's last place counts 1."""
STRIDE = 8
"""Places that a number goes left in a cycle, while it has so many to go."""


class FixedPoint(wiring.Component):
    """A binary32 as an integer of `width` bits, two's complement, in units of ``2**unit_log2``, to
    nearest even. What is not finite or might not fit is 0, and told.

    Latency: 4 cycles, and those in which it shifts: an eighth of the places to the left, and what
    is left of these or all to the right one by one, 25 at most. Throughput: one after another.
    Stall rule: none; a result is there for a cycle.

    Members
    -------
    i : In stream of BINARY32
    valid, value, lost : Out, the result, and whether it is 0 for want of a better one
    """

    def __init__(self, width: int, unit_log2: int):
        self._width, self._unit_log2 = width, unit_log2
        super().__init__(
            {
                "i": In(stream.Signature(BINARY32)),
                "valid": Out(1),
                "value": Out(signed(width)),
                "lost": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given = self.i.payload
        magnitude, half, rest = Signal(self._width), Signal(), Signal()
        """What is shifted; what was shifted out of it last, and whether there was more before."""
        places, negative = Signal(signed(11)), Signal()
        # A subnormal's exponent is that of the smallest normal number.
        exponent = Mux(given.exponent == 0, 1, given.exponent)
        m.d.comb += self.value.eq(magnitude)
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [
                        magnitude.eq(Cat(given.fraction, given.exponent != 0)),
                        places.eq(exponent - (PLACE + self._unit_log2)),
                        negative.eq(given.sign),
                        self.lost.eq(given.exponent == 255),
                        half.eq(0),
                        rest.eq(0),
                    ]
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                # Below a quarter of a unit nothing is left; the sign takes the highest bit.
                with m.If(self.lost | (places < -25) | (places > self._width - 25)):
                    m.d.sync += [magnitude.eq(0), places.eq(0)]
                    m.d.sync += self.lost.eq(self.lost | ((places > 0) & (magnitude != 0)))
                m.next = "SHIFT"
            with m.State("SHIFT"):
                with m.If(places < 0):
                    m.d.sync += [
                        Cat(half, magnitude).eq(magnitude),
                        rest.eq(rest | half),
                        places.eq(places + 1),
                    ]
                with m.Elif(places >= STRIDE):
                    m.d.sync += [magnitude.eq(magnitude << STRIDE), places.eq(places - STRIDE)]
                with m.Elif(places != 0):
                    m.d.sync += [magnitude.eq(magnitude << 1), places.eq(places - 1)]
                with m.Else():
                    m.d.sync += magnitude.eq(magnitude + (half & (rest | magnitude[0])))
                    m.next = "SIGN"
            with m.State("SIGN"):
                m.d.sync += magnitude.eq(Mux(negative, -magnitude, magnitude))
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += self.valid.eq(1)
                m.next = "TAKE"
        return m


class BiasDealer(wiring.Component):
    """Set the entry of one column after another, from column 0 on, to a bias and nothing else: a
    sum leaves as it is, with the bias added.

    Latency: 5 cycles from `deals` to the first number, and `FixedPoint`'s. Throughput: as its.
    Stall rule: waits for the memory alone.

    Members
    -------
    As of `SettingsDealer`; `fault` also if a bias is not finite or does not fit.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(dealer_members(config))

    def elaborate(self, platform):
        m = Module()
        config, unit = self.config, self.config.format.product_unit_log2
        m.submodules.reader = reader = BeatReader(config)
        m.submodules.fixed = fixed = FixedPoint(config.accumulator_bits, unit)
        connect_checked(m, reader.port, wiring.flipped(self.port))
        each = config.group_bytes // BIAS_BYTES
        asked, column = Signal(DEAL(config), reset_less=True), Signal(8)
        held, left = Signal(8 * config.group_bytes), Signal(range(each + 1))
        active, ended, lost = Signal(), Signal(), Signal()
        wanted, at_work = column != asked.count, Signal()
        m.d.comb += [
            self.deals.ready.eq(~active),
            reader.words.valid.eq(self.deals.valid & ~active),
            reader.words.payload.eq(self.deals.payload.words),
            reader.o.ready.eq(active & ~ended & (left == 0)),
            fixed.i.valid.eq((left != 0) & wanted & ~at_work),
            fixed.i.payload.eq(held[: 8 * BIAS_BYTES]),
            self.settings.valid.eq(fixed.valid),
            self.settings.column.eq(column),
            self.settings.entry.eq(asked.address),
            self.settings.scale.eq(1 << 15),
            self.settings.exponent.eq(unit - 15),
            self.settings.bias.eq(fixed.value),
        ]
        with m.If(reader.o.valid & reader.o.ready):
            # Only of a beat that a column takes something of.
            m.d.sync += [
                held.eq(reader.o.payload.data),
                left.eq(each),
                ended.eq(reader.o.payload.last),
                lost.eq(lost | ~wanted),
            ]
        with m.If(fixed.i.valid & fixed.i.ready):
            m.d.sync += at_work.eq(1)
        with m.If(fixed.valid):
            m.d.sync += [
                at_work.eq(0),
                column.eq(column + 1),
                held.eq(held >> 8 * BIAS_BYTES),
                left.eq(left - 1),
                lost.eq(lost | fixed.lost),
            ]
        with m.Elif(~wanted & (left != 0)):
            m.d.sync += left.eq(0)
        with m.If(active & ended & (left == 0)):
            m.d.comb += [self.finished.eq(1), self.fault.eq(lost | wanted)]
            m.d.sync += [active.eq(0), ended.eq(0)]
        with m.If(self.deals.valid & self.deals.ready):
            m.d.sync += [active.eq(1), asked.eq(self.deals.payload), column.eq(0), lost.eq(0)]
        return m
