"""One lane of the vector unit: two words in, one out, every operation of `hw.isa.vector`.

a, b ─► unpack, compare ─┬─► order ─► align ─► add or subtract ─┬─► Rounder ─► data
                         ├─► partial products ──► multiply ─────┤
                         ├─► magnitude of an integer ───────────┘
                         └─► bits, comparisons: as they are ─────────────────►
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..arith.narrow import BINARY32
from ..arith.rounding import shift_stage
from ..isa.vector import CANONICAL_NAN, COMPARISONS, Op
from ..lib.pipeline import delay, register
from .rounder import BITS, EXPONENT_BITS, Rounder

HALF = data.StructLayout({"fraction": 10, "exponent": 5, "sign": 1})
MANTISSA = 24
LIMB = MANTISSA // 2
"""A product is made of four: no multiplier on these chips takes 24 bits."""
PLACE = 150
"""An exponent field less this one is the exponent of a significand's last place."""
GRS = 3
"""Places below the last one that an addition needs: guard, round, sticky."""
TAKE_A, TAKE_B, AND, OR, XOR = 0b1010, 0b1100, 0b1000, 0b1110, 0b0110
"""Functions of two bits: bit a + 2 b is their value."""
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
        a, b = data.View(BINARY32, self.a), data.View(BINARY32, self.b)
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
        flipped = negative_b ^ (op == Op.SUB)
        direct, holds = Signal(), Signal()
        # It is a function of the bits of a and b, or one of few constants, which share most bits.
        table, constant, no_number = Signal(4), Signal(32), Signal()
        infinite, sign = Signal(), Signal()
        m.d.comb += direct.eq(1)
        with m.Switch(op):
            for which, found in zip(COMPARISONS, (less, less | equal, equal, same), strict=True):
                with m.Case(which):
                    m.d.comb += [holds.eq(found), constant.eq(Mux(found, ONE, 0))]
            with m.Case(Op.MIN, Op.MAX):
                takes_a = before == (op == Op.MIN)
                m.d.comb += [table.eq(Mux(takes_a, TAKE_A, TAKE_B)), no_number.eq(nan)]
            with m.Case(Op.SELECT):
                m.d.comb += table.eq(Mux(s["mask"], TAKE_A, TAKE_B))
            for which, function in ((Op.COPY, TAKE_B), (Op.AND, AND), (Op.OR, OR), (Op.XOR, XOR)):
                with m.Case(which):
                    m.d.comb += table.eq(function)
            with m.Case(Op.ADD, Op.SUB):
                m.d.comb += [
                    direct.eq(nan | inf_a | inf_b),
                    infinite.eq(1),
                    sign.eq(Mux(inf_a, negative_a, flipped)),
                    no_number.eq(nan | (inf_a & inf_b & (negative_a ^ flipped))),
                ]
            with m.Case(Op.MUL):
                m.d.comb += [
                    direct.eq(nan | inf_a | inf_b),
                    infinite.eq(1),
                    sign.eq(negative_a ^ negative_b),
                    no_number.eq(nan | (inf_a & zero_b) | (inf_b & zero_a)),
                ]
            with m.Case(Op.SCALE, Op.MANTISSA):
                m.d.comb += [direct.eq(nan_a | inf_a), table.eq(TAKE_A), no_number.eq(nan_a)]
            with m.Case(Op.EXPONENT):
                m.d.comb += [direct.eq(nan_a | inf_a), constant.eq((1 << 31) - 1)]
            with m.Case(Op.TO_HALF):
                m.d.comb += [direct.eq(nan_a), constant.eq(HALF_NAN)]
            with m.Case(Op.TO_INT, Op.TO_BYTE):
                m.d.comb += direct.eq(nan_a)
            with m.Case(Op.FROM_HALF):
                half = data.View(HALF, a[:16])
                m.d.comb += [
                    direct.eq(half.exponent.all()),
                    infinite.eq(1),
                    sign.eq(half.sign),
                    no_number.eq(half.fraction.any()),
                ]
            with m.Default():  # FROM_INT: every integer is a number
                m.d.comb += direct.eq(0)
        with m.If(infinite):
            m.d.comb += constant.eq(Cat(Const(0, 23), Const(0xFF, 8), sign))
        with m.If(no_number):
            m.d.comb += [table.eq(0), constant.eq(CANONICAL_NAN)]
        made = (
            (table[0].replicate(32) & ~a & ~b)
            | (table[1].replicate(32) & a & ~b)
            | (table[2].replicate(32) & ~a & b)
            | (table[3].replicate(32) & a & b)
        )
        value = made | constant
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
        beyond = (b.as_signed() >= SCALES) | (b.as_signed() < -SCALES)
        scale = Mux(beyond, Mux(b[31], -SCALES, SCALES - 1), b.as_signed()[:10].as_signed())
        integer, exponent, sign = Signal(BITS), Signal(EXPONENT_BITS), Signal()
        m.d.comb += [integer.eq(s["significand_a"]), sign.eq(a[31])]
        with m.Switch(op):
            with m.Case(Op.FROM_INT):
                m.d.comb += [integer.eq(Cat(b, a)), exponent.eq(-32)]
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
                "invert": a[31] & (op == Op.FROM_INT),
            },
        )

        # One adder for all: what it adds is chosen before.
        aligned, near = Cat(Const(0, GRS - 1), s.pop("small")), s.pop("distance")
        sticky, amount = Const(0, 1), Mux(near > MANTISSA + 2, MANTISSA + 2, near)[:5]
        for bit in reversed(range(5)):
            aligned, sticky = shift_stage(aligned, sticky, amount, bit, MANTISSA + GRS - 1)
        kept = Cat(sticky, aligned)
        middle = (s.pop("middle_a") + s.pop("middle_b")) << LIMB
        subtract, integer = s["subtract"], s.pop("integer")
        left, right = Signal(BITS), Signal(BITS)
        m.d.comb += [
            left.eq(Mux(s["invert"], ~integer, integer)),
            right.eq(0),
        ]
        with m.If(s.pop("multiplies")):
            m.d.comb += [left.eq(Cat(s.pop("low"), s.pop("high"))), right.eq(middle)]
        with m.If(s.pop("adds")):
            m.d.comb += [
                left.eq(Cat(Const(0, GRS), s.pop("large"))),
                right.eq(Cat(kept, Const(0, BITS - len(kept))) ^ subtract.replicate(BITS)),
            ]
        carry = subtract | s.pop("invert")
        s = register(m, "chosen", {**s, "left": left, "right": right, "carry": carry})
        return register(
            m,
            "made",
            {
                "magnitude": (s["left"] + s["right"] + s["carry"])[:BITS],
                "exponent": s["exponent"],
                "sign": s["sign"],
                "positive_zero": s["subtract"],
            },
        )
