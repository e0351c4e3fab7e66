"""One lane of the vector unit: two words in, one out, every operation of `hw.isa.vector`.

a, b ─► unpack, compare ─┬─► order ─► align ─► add or subtract ─┬─► Rounder ─► data
                         ├─► partial products ──► multiply ─────┤
                         ├─► magnitude of an integer ───────────┘
                         └─► bits, comparisons: as they are ─────────────────►
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..isa.vector import CANONICAL_NAN, COMPARISONS, Op
from ..lib.pipeline import delay, register
from .rounder import BITS, EXPONENT_BITS, Rounder

SINGLE = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})
HALF = data.StructLayout({"fraction": 10, "exponent": 5, "sign": 1})
MANTISSA = 24
LIMB = MANTISSA // 2
"""A product is made of four: no multiplier on these chips takes 24 bits."""
PLACE = 150
"""An exponent field less this one is the exponent of a significand's last place."""
GRS = 3
"""Places below the last one that an addition needs: guard, round, sticky."""
ONE, HALF_NAN = 0x3F800000, 0x7E00
SCALES = 1 << 9
"""Beyond such an exponent every number is 0 or infinite."""


class Lane(wiring.Component):
    """One operation, on two words.

    Latency: `latency` cycles; `holds` comes earlier, after `COMPARED`. Throughput: one a cycle, no
    stalls.

    Members
    -------
    op : In(Op)
    a, b : In(32)
    mask : In(1), what SELECT goes by
    data : Out(32)
    holds : Out(1), the comparison holds
    overflow, saturated : Out(1), as `Rounder` has them
    """

    COMPARED = 2
    latency = 4 + Rounder.latency

    def __init__(self):
        super().__init__(
            {
                "op": In(Op),
                "a": In(32),
                "b": In(32),
                "mask": In(1),
                "data": Out(32),
                "holds": Out(1),
                "overflow": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.rounder = rounder = Rounder()
        s = self._unpacked(m)
        direct, value = self._direct(m, s)
        work = self._magnitudes(m, s)
        op = delay(m, "op", s["op"], 3)
        m.d.comb += [
            rounder.op.eq(op),
            rounder.direct.eq(delay(m, "direct", direct, 2)),
            rounder.value.eq(delay(m, "value", value, 2)),
            *(getattr(rounder, name).eq(signal) for name, signal in work.items()),
            *(getattr(self, n).eq(getattr(rounder, n)) for n in ("data", "overflow", "saturated")),
        ]
        return m

    def _unpacked(self, m: Module) -> dict[str, Signal]:
        """Stage 1: what the operands are, and how they compare."""
        a, b = data.View(SINGLE, self.a), data.View(SINGLE, self.b)
        values = {"op": self.op, "a": self.a, "b": self.b, "mask": self.mask}
        place = {}
        for name, x in (("a", a), ("b", b)):
            place[name] = Cat(x.exponent[0] | ~x.exponent.any(), x.exponent[1:])
            values |= {
                f"significand_{name}": Cat(x.fraction, x.exponent.any()),
                f"place_{name}": place[name],
                f"top_{name}": x.exponent.all(),
                f"some_{name}": x.fraction.any(),
            }
        values |= {
            "smaller": self.a[:31] < self.b[:31],
            "equal": self.a[:31] == self.b[:31],
            "ahead": (place["a"] - place["b"]).as_signed(),
            "behind": (place["b"] - place["a"]).as_signed(),
        }
        return register(m, "unpacked", values)

    def _direct(self, m: Module, s: dict[str, Signal]) -> tuple[Signal, Signal]:
        """Stage 2: results that are not rounded; whether this is one, and which."""
        a, b, op = s["a"], s["b"], s["op"]
        nan_a, nan_b = (s[f"top_{n}"] & s[f"some_{n}"] for n in "ab")
        inf_a, inf_b = (s[f"top_{n}"] & ~s[f"some_{n}"] for n in "ab")
        zero_a, zero_b = (~s[f"place_{n}"][1:].any() & ~s[f"significand_{n}"].any() for n in "ab")
        negative_a, negative_b = a[31], b[31]
        nan = nan_a | nan_b
        before = Mux(
            negative_a,
            ~negative_b | ~(s["smaller"] | s["equal"]),
            ~negative_b & s["smaller"],
        )
        zeros = zero_a & zero_b
        same = s["equal"] & (negative_a == negative_b)
        equal = ~nan & (same | zeros)
        less = ~nan & before & ~zeros
        value, direct, holds = Signal(32), Signal(init=1), Signal()
        m.d.comb += direct.eq(1)
        flipped = negative_b ^ (op == Op.SUB)
        with m.Switch(op):
            for which, found in zip(COMPARISONS, (less, less | equal, equal, same), strict=True):
                with m.Case(which):
                    m.d.comb += [holds.eq(found), value.eq(Mux(found, ONE, 0))]
            with m.Case(Op.MIN, Op.MAX):
                least = op == Op.MIN
                m.d.comb += value.eq(Mux(nan, CANONICAL_NAN, Mux(before == least, a, b)))
            with m.Case(Op.SELECT):
                m.d.comb += value.eq(Mux(s["mask"], a, b))
            with m.Case(Op.COPY):
                m.d.comb += value.eq(b)
            with m.Case(Op.AND):
                m.d.comb += value.eq(a & b)
            with m.Case(Op.OR):
                m.d.comb += value.eq(a | b)
            with m.Case(Op.XOR):
                m.d.comb += value.eq(a ^ b)
            with m.Case(Op.ADD, Op.SUB):
                lost = nan | (inf_a & inf_b & (negative_a ^ flipped))
                sign = Mux(inf_a, negative_a, flipped)
                infinite = Cat(Const(0, 23), Const(0xFF, 8), sign)
                m.d.comb += [
                    direct.eq(nan | inf_a | inf_b),
                    value.eq(Mux(lost, CANONICAL_NAN, infinite)),
                ]
            with m.Case(Op.MUL):
                lost = nan | (inf_a & zero_b) | (inf_b & zero_a)
                infinite = Cat(Const(0, 23), Const(0xFF, 8), negative_a ^ negative_b)
                m.d.comb += [
                    direct.eq(nan | inf_a | inf_b),
                    value.eq(Mux(lost, CANONICAL_NAN, infinite)),
                ]
            with m.Case(Op.SCALE, Op.MANTISSA):
                m.d.comb += [direct.eq(nan_a | inf_a), value.eq(Mux(nan_a, CANONICAL_NAN, a))]
            with m.Case(Op.EXPONENT):
                m.d.comb += [direct.eq(nan_a | inf_a), value.eq((1 << 31) - 1)]
            with m.Case(Op.TO_HALF):
                m.d.comb += [direct.eq(nan_a), value.eq(HALF_NAN)]
            with m.Case(Op.TO_INT, Op.TO_BYTE):
                m.d.comb += [direct.eq(nan_a), value.eq(0)]
            with m.Case(Op.FROM_HALF):
                half = data.View(HALF, a[:16])
                infinite = Cat(Const(0, 23), Const(0xFF, 8), half.sign)
                m.d.comb += [
                    direct.eq(half.exponent.all()),
                    value.eq(Mux(half.fraction.any(), CANONICAL_NAN, infinite)),
                ]
            with m.Default():  # FROM_INT: every integer is a number
                m.d.comb += direct.eq(0)
        s = register(m, "direct", {"direct": direct, "value": value, "holds": holds})
        m.d.comb += self.holds.eq(s["holds"])
        return s["direct"], s["value"]

    def _magnitudes(self, m: Module, s: dict[str, Signal]) -> dict[str, Signal]:
        """Stages 2 to 4: what is to be rounded, an integer with a sign and an exponent."""
        op, a, b = s["op"], s["a"], s["b"]
        flipped = b[31] ^ (op == Op.SUB)
        adds = (op == Op.ADD) | (op == Op.SUB)
        halves = {
            name: (s[f"significand_{name}"][:LIMB], s[f"significand_{name}"][LIMB:])
            for name in "ab"
        }
        (low_a, high_a), (low_b, high_b) = halves["a"], halves["b"]
        swap = s["smaller"]
        large = Mux(swap, s["significand_b"], s["significand_a"])
        small = Mux(swap, s["significand_a"], s["significand_b"])
        distance = Mux(swap, s["behind"], s["ahead"])[:8]
        # An integer, of a half or of 64 bits; what is scaled or converted, as it is.
        half = data.View(HALF, a[:16])
        whole, negative = Cat(b, a), a[31] & (op == Op.FROM_INT)
        beyond = (b.as_signed() >= SCALES) | (b.as_signed() < -SCALES)
        scale = Mux(beyond, Mux(b[31], -SCALES, SCALES - 1), b.as_signed()[:10].as_signed())
        integer, exponent, sign = Signal(BITS), Signal(EXPONENT_BITS), Signal()
        m.d.comb += [integer.eq(s["significand_a"]), sign.eq(a[31])]
        with m.Switch(op):
            with m.Case(Op.FROM_INT):
                m.d.comb += [
                    integer.eq(Mux(negative, -whole, whole)),
                    exponent.eq(-32),
                ]
            with m.Case(Op.FROM_HALF):
                some = half.exponent.any()
                m.d.comb += [
                    integer.eq(Cat(half.fraction, some)),
                    exponent.eq(half.exponent + ~some - 25),
                    sign.eq(half.sign),
                ]
            with m.Case(Op.ADD, Op.SUB):
                m.d.comb += [
                    exponent.eq(Mux(swap, s["place_b"], s["place_a"]) - (PLACE + GRS)),
                    sign.eq(Mux(swap, flipped, a[31])),
                ]
            with m.Case(Op.MUL):
                m.d.comb += [
                    exponent.eq(s["place_a"] + s["place_b"] - 2 * PLACE),
                    sign.eq(a[31] ^ b[31]),
                ]
            with m.Case(Op.SCALE):
                m.d.comb += exponent.eq(s["place_a"] + scale - PLACE)
            with m.Default():
                m.d.comb += exponent.eq(s["place_a"] - PLACE)
        s = register(
            m,
            "ordered",
            {
                "large": large,
                "small": small,
                "distance": distance,
                "subtract": adds & (a[31] ^ flipped),
                "low": low_a * low_b,
                "middle_a": low_a * high_b,
                "middle_b": high_a * low_b,
                "high": high_a * high_b,
                "integer": integer,
                "exponent": exponent,
                "sign": sign,
                "adds": adds,
                "multiplies": op == Op.MUL,
            },
        )

        wide, near = Cat(Const(0, MANTISSA + GRS - 1), s.pop("small")), s.pop("distance")
        aligned = wide >> Mux(near > MANTISSA + 2, MANTISSA + 2, near)[:5]
        kept = Cat(aligned[:MANTISSA].any(), aligned[MANTISSA:])
        middle = s.pop("middle_a") + s.pop("middle_b")
        s = register(m, "aligned", {**s, "small": kept, "middle": middle})
        large, small = Cat(Const(0, GRS), s.pop("large")), s.pop("small")
        total = Mux(s["subtract"], large - small, large + small)[: MANTISSA + GRS + 1]
        product = Cat(s.pop("low"), s.pop("high")) + (s.pop("middle") << LIMB)
        magnitude = Mux(s.pop("adds"), total, Mux(s.pop("multiplies"), product, s.pop("integer")))[
            :BITS
        ]
        return register(
            m,
            "made",
            {
                "magnitude": magnitude,
                "exponent": s["exponent"],
                "sign": s["sign"],
                "positive_zero": s["subtract"],
            },
        )
