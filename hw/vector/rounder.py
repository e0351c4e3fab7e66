"""The vector lane's way out: a sign, an integer and an exponent, rounded once to what is wanted.

leading one ─► exponents ─► how far ─► limit ─► shift, shift ─► round ─► encode
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith.rounding import leading_one, shift_stage
from ..isa.vector import Op
from ..lib.pipeline import register

BITS = 64
"""Of the integer."""
EXPONENT_BITS = 12
KEPT = 26
"""Bits of a shifted integer: a binary32's 24, a guard bit, and one to spare."""
GUARD = 25
"""Zeros put below the integer, so that every shift is one to the right."""
MOST = BITS + GUARD
INT_BITS = 24
"""Of TO_INT's result: what a binary32 holds exactly."""


class Rounder(wiring.Component):
    """``±magnitude * 2**exponent`` to nearest, ties to even, as the result of `op`.

    Binary32 and binary16 have subnormals and overflow to infinity; integers saturate. Source: IEEE
    754-2019, roundTiesToEven.

    Latency: `latency` cycles. Throughput: one a cycle, no stalls.

    Members
    -------
    op : In(Op)
    magnitude, exponent, sign : In(64), In(signed 12), In(1)
    positive_zero : In(1), a zero has no sign
    direct, value : In(1), In(32), the result is this one
    data : Out(32)
    overflow : Out(1), a binary16 became infinite, or it is a `direct` result: no number
    saturated : Out(1), an integer was clipped, or it is a `direct` result: of no number
    """

    latency = 9

    def __init__(self):
        super().__init__(
            {
                "op": In(Op),
                "magnitude": In(BITS),
                "exponent": In(EXPONENT_BITS),
                "sign": In(1),
                "positive_zero": In(1),
                "direct": In(1),
                "value": In(32),
                "data": Out(32),
                "overflow": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        stages = 0

        def stage(**values) -> dict[str, Signal]:
            nonlocal stages
            stages += 1
            return register(m, f"stage_{stages}", values)

        exponent = self.exponent.as_signed()
        s = stage(
            magnitude=self.magnitude,
            exponent=exponent,
            top=leading_one(self.magnitude),
            nonzero=self.magnitude.any(),
            sign=self.sign,
            positive_zero=self.positive_zero,
            direct=self.direct,
            value=self.value,
            half=self.op == Op.TO_HALF,
            byte=self.op == Op.TO_BYTE,
            integer=(self.op == Op.TO_BYTE) | (self.op == Op.TO_INT),
            of_mantissa=self.op == Op.MANTISSA,
            of_exponent=self.op == Op.EXPONENT,
        )

        # The last place that is kept is that of the result's leading one, or a subnormal's, or 1.
        exponent, top, half = s.pop("exponent"), s.pop("top"), s["half"]
        lowest = Mux(s["integer"], GUARD - 1, Mux(half, GUARD - 1 - 24, GUARD - 1 - 149))
        s = stage(
            **s,
            high=(top + exponent).as_signed(),
            normal=top + Mux(half, GUARD - 11, GUARD - 24),
            below=(lowest - exponent).as_signed(),
        )
        s["sign"] = s["sign"] & (s["nonzero"] | ~s.pop("positive_zero"))
        below, normal = s.pop("below"), s.pop("normal")
        lowest = s["integer"] | (~s["of_mantissa"] & (below > normal))
        high = s.pop("high")
        s = stage(
            **s,
            shift=Mux(lowest, below, normal).as_signed(),
            high=high,
            huge=s["nonzero"] & (high >= INT_BITS),
            field=(high + Mux(s["half"], 14, 126)).as_signed(),
        )
        shift, field, high = s.pop("shift"), s.pop("field"), s.pop("high")
        limit = Mux(s["half"], 31, 255)
        field = Mux(s["nonzero"] & (field > 0), Mux(field > limit, limit, field), 0)
        of_exponent, of_mantissa, nonzero = map(s.pop, ("of_exponent", "of_mantissa", "nonzero"))
        found = Mux(nonzero, high, -(1 << 31))[:32]
        s = stage(
            **s
            | {
                "direct": s["direct"] | of_exponent,
                "value": Mux(of_exponent & ~s["direct"], found, s["value"]),
            },
            amount=Mux(shift < 0, 0, Mux(shift > MOST, MOST, shift))[: MOST.bit_length()],
            field=Mux(of_mantissa, Mux(nonzero, 126, 0), field)[:8],
        )

        value, sticky = Cat(*[0] * GUARD, s.pop("magnitude")), Cat(0)
        bits = list(reversed(range(MOST.bit_length())))
        for group in (bits[:3], bits[3:]):
            for bit in group:
                value, sticky = shift_stage(value, sticky, s["amount"], bit, KEPT + (1 << bit) - 1)
            s = stage(**s | {"shifted": value, "sticky": sticky})
            value, sticky = s["shifted"], s["sticky"]
        for name in ("amount", "shifted", "sticky"):
            s.pop(name)
        # The guard bit decides, the sticky bit breaks what would be a tie, the even one wins.
        s = stage(**s, rounded=value[1:] + (value[0] & (sticky | value[1])))

        # A carry out of the fraction runs into the exponent, as it should.
        rounded, field, huge, byte = s.pop("rounded"), s.pop("field"), s.pop("huge"), s["byte"]
        clipped = huge | Mux(byte, self._beyond(s, rounded, 8), self._beyond(s, rounded, INT_BITS))
        s = stage(
            **s,
            single=rounded + (field << 23),
            half_code=rounded[:12] + (field[:5] << 10),
            whole=rounded[:INT_BITS],
            clipped=clipped,
        )

        single, half, sign, clipped = s["single"], s["half_code"], s["sign"], s["clipped"]
        single_over = single[31:].any() | single[23:31].all()
        half_over = half[15:].any() | half[10:15].all()
        integer, limit = Signal(32), Mux(s["byte"], 1 << 7, 1 << INT_BITS - 1)
        m.d.comb += integer.eq(Mux(sign, -s["whole"], s["whole"]))
        with m.If(clipped):
            # The largest one, and its complement.
            m.d.comb += integer.eq((limit - 1) ^ sign.replicate(32))
        made = Mux(
            s["integer"],
            integer,
            Mux(
                s["half"],
                Cat(Mux(half_over, 0x1F << 10, half)[:15], sign),
                Cat(Mux(single_over, 0xFF << 23, single)[:31], sign),
            ),
        )
        s = stage(
            data=Mux(s["direct"], s["value"], made),
            overflow=s["half"] & (s["direct"] | half_over),
            saturated=s["integer"] & (s["direct"] | clipped),
        )
        m.d.comb += [getattr(self, name).eq(value) for name, value in s.items()]
        assert stages == self.latency
        return m

    @staticmethod
    def _beyond(s: dict[str, Signal], magnitude: Signal, bits: int):
        """A magnitude, and its sign, are no integer of so many bits."""
        least = s["sign"] & ~magnitude[: bits - 1].any()
        return magnitude[bits:].any() | (magnitude[bits - 1] & ~least)
