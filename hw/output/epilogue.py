"""From an exact sum to an output: bias, scale, ReLU, and the only rounding there is.

sum ─► + bias ─► |x|, ReLU ─► × scale ─► leading one ─► shift right ─► round ─► encode
                                         (exponent)     (sticky)      (even)

A limb of a RAW output goes the same way: its bits are a magnitude, its scale is one.
"""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..arith.rounding import leading_one, shift_stage
from ..config import Config
from ..formats import RAW_BITS, OutputFormat
from ..lib.pipeline import register_unless

STAGES = 15
"""Cycles of work; a compact epilogue does `MERGED` of them in one."""
MERGED = 3
LIMB = 18
"""Width of one multiplier's input: the magnitude is multiplied in such pieces."""
KEPT = 26
"""Bits of a shifted result: a binary32's 24, a guard bit, and one to spare."""
GUARD = 25
"""Zeros put below the product, so that every shift is one to the right: 24 of significand at
most, and the guard bit."""


class Epilogue(wiring.Component):
    """``round(relu?((sum + bias) * scale * 2**exponent))``, once, to nearest even.

    FP32 and FP16: subnormals, overflow to infinity, a negative that rounds to zero is -0. INT8:
    saturates. RAW: 32 bits of ``sum + bias``, neither scaled nor rounded. Source: IEEE 754-2019,
    roundTiesToEven.

    Latency: `latency` cycles. Throughput: one sum a cycle, no stalls.

    Members
    -------
    i : In({valid, sum, bias, scale, exponent, relu, format}); sum and bias are two's complement
        of `config.exact_bits` and `config.accumulator_bits`, scale is unsigned, exponent signed, 16
        bits each. With tensor memory also `zero`, the output is +0 whatever the sum, and `limb`,
        which one of a RAW output is wanted
    o : Out({valid, data, overflow, saturated}), data in the low bits
    """

    @staticmethod
    def latency(config: Config) -> int:
        """Cycles, as above."""
        return STAGES // MERGED if config.compact else STAGES

    def __init__(self, config: Config):
        self.config = config
        side = {"zero": Out(1), "limb": Out(range(OutputFormat.RAW.limbs))}
        super().__init__(
            {
                "i": In(
                    wiring.Signature(
                        {
                            "valid": Out(1),
                            "sum": Out(signed(config.exact_bits)),
                            "bias": Out(signed(config.accumulator_bits)),
                            "scale": Out(16),
                            "exponent": Out(signed(16)),
                            "relu": Out(1),
                            "format": Out(2),
                        }
                        | (side if config.tensor_words else {})
                    )
                ),
                "o": Out(
                    wiring.Signature(
                        {
                            "valid": Out(1),
                            "data": Out(32),
                            "overflow": Out(1),
                            "saturated": Out(1),
                        }
                        | ({"raw": Out(1)} if config.tensor_words else {})
                    )
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        stages = 0

        def stage(**values: Value) -> dict[str, Signal]:
            """The values when the stage is done, by name."""
            nonlocal stages
            stages += 1
            spared = self.config.compact and stages % MERGED != 0
            return register_unless(spared, m, f"stage_{stages}", values)

        i, side = self.i, bool(self.config.tensor_words)
        biased, scale, exponent = i.sum + i.bias, i.scale, i.exponent
        more = {}
        if side:
            # The sum is so wide that the bias adds no bit.
            biased = biased[: self.config.exact_bits].as_signed()
            raw = i.format == OutputFormat.RAW
            scale, exponent = Mux(raw, 1, scale), Mux(raw, 0, exponent).as_signed()
            more = {"zero": i.zero, "limb": i.limb, "raw": raw}
        s = stage(
            valid=i.valid,
            biased=biased,
            scale=scale,
            exponent=exponent,
            relu=i.relu,
            format=i.format,
            **more,
        )
        biased = s.pop("biased")
        negative = biased < 0
        magnitude = Mux(negative, -biased, biased)[: len(biased)]
        dropped = s.pop("relu") & negative
        if side:
            limbs = Cat(biased, biased[-1].replicate(RAW_BITS - len(biased)))
            limb = limbs.word_select(s.pop("limb"), 32)
            magnitude = Mux(s["raw"], limb, magnitude)
            dropped, negative = dropped | s.pop("zero"), negative & ~s["raw"]
        s = stage(**s, magnitude=Mux(dropped, 0, magnitude), negative=negative)

        # Multiply limb by limb; limbs two apart do not overlap, so one addition joins them all.
        magnitude, scale = s.pop("magnitude"), s.pop("scale")
        limbs = [magnitude[at : at + LIMB] for at in range(0, len(magnitude), LIMB)]
        s = stage(**s, **{f"limb{n}": limb * scale for n, limb in enumerate(limbs)})
        products = [s.pop(f"limb{n}") for n in range(len(limbs))]
        width = len(magnitude) + len(scale)
        even = Cat(Cat(p, *[0] * (2 * LIMB - len(p))) for p in products[0::2])
        odd = Cat(Cat(p, *[0] * (2 * LIMB - len(p))) for p in products[1::2])
        s = stage(**s, product=(even + (odd << LIMB))[:width])

        product = s["product"]
        s = stage(**s, top=leading_one(product), nonzero=product.any())

        # The exponent of the result: its leading one's, or a subnormal's.
        is_int, is_half = s["format"] == OutputFormat.INT8, s["format"] == OutputFormat.FP16
        lowest = Mux(is_half, -14, -126)
        s = stage(
            **s,
            high=s["top"] + s["exponent"],
            below=(lowest - s["exponent"]).as_signed(),
            is_int=is_int,
            is_half=is_half,
            sign=s["negative"] & s["nonzero"],
        )
        for name in ("negative", "format"):
            s.pop(name)

        # How far to shift right, from below the guard zeros, and the exponent field.
        top, below, high = s.pop("top"), s.pop("below"), s.pop("high")
        s = stage(
            **s,
            lowest_kept=Mux(below > top, below, top),
            huge=s["nonzero"] & (high >= 8),
            field=(high + Mux(s["is_half"], 14, 126)).as_signed(),
        )
        raw = s["raw"] if side else Const(0)
        fraction = Mux(s["is_half"], 10, 23)
        shift = Mux(
            s["is_int"] | raw,
            GUARD - 1 - s.pop("exponent"),
            s.pop("lowest_kept") + (GUARD - 1) - fraction,
        )
        nonzero, field, limit = s.pop("nonzero"), s.pop("field"), Mux(s["is_half"], 31, 255)
        s = stage(
            **s,
            shift=shift.as_signed(),
            field=Mux(nonzero & (field > 0) & ~raw, Mux(field > limit, limit, field), 0)[:8],
        )
        shift, most = s.pop("shift"), width + GUARD
        s = stage(
            **s, amount=Mux(shift < 0, 0, Mux(shift > most, most, shift))[: most.bit_length()]
        )

        product = s.pop("product")
        if side:
            s["above"] = product[KEPT - 1 : 32]  # of a limb what a rounded number has no room for
        value, sticky = Cat(*[0] * GUARD, product), Cat(0)
        bits = list(reversed(range(most.bit_length())))
        for group in (bits[:2], bits[2:4], bits[4:]):
            for bit in group:
                value, sticky = shift_stage(value, sticky, s["amount"], bit, KEPT + (1 << bit) - 1)
            s = stage(**s | {"value": value, "sticky": sticky})
            value, sticky = s["value"], s["sticky"]

        # The guard bit decides, the sticky bit breaks what would be a tie, the even one wins.
        rounded = value[1:] + (value[0] & (sticky | value[1]))
        kept = ("valid", "is_int", "is_half", "sign", "huge", "field")
        s = stage(
            **{name: s[name] for name in (*kept, *(("raw", "above") * side))}, rounded=rounded
        )

        # A carry out of the fraction runs into the exponent, as it should.
        rounded, field, sign = s.pop("rounded"), s.pop("field"), s["sign"]
        clipped = s.pop("huge") | (rounded > 127 + sign)
        s = stage(
            **s,
            single=rounded + (field << 23),
            half=rounded[:12] + (field[:5] << 10),
            clipped=clipped,
            integer=rounded[:8],
        )
        for name, value in stage(**self._encode(s)).items():
            m.d.comb += getattr(self.o, name).eq(value)
        assert stages == STAGES
        return m

    def _encode(self, s: dict[str, Signal]) -> dict[str, Value]:
        """Clip what is out of range, and give it its sign."""
        single, half, clipped, sign = s["single"], s["half"], s["clipped"], s["sign"]
        single_over, half_over = single >= 0xFF << 23, half >= 0x1F << 10
        integer = Mux(clipped, 127 + sign, s["integer"])[:8]
        data = Mux(
            s["is_int"],
            Mux(sign, -integer, integer)[:8],
            Mux(
                s["is_half"],
                Cat(Mux(half_over, 0x1F << 10, half)[:15], sign),
                Cat(Mux(single_over, 0xFF << 23, single)[:31], sign),
            ),
        )
        over = ~s["is_int"] & Mux(s["is_half"], half_over, single_over)
        results = {
            "valid": s["valid"],
            "data": data,
            "overflow": s["valid"] & over,
            "saturated": s["valid"] & s["is_int"] & clipped,
        }
        if self.config.tensor_words:
            raw = s["raw"]
            results |= {"data": Mux(raw, Cat(single[: KEPT - 1], s["above"]), data), "raw": raw}
        return results
