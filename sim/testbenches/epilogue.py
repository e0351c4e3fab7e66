"""The epilogue: one rounding of everything that can happen to a sum, flags included."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cocotb
from cocotb.triggers import FallingEdge

from ...hw.formats import ROUNDED, OutputFormat
from ...hw.output.epilogue import Epilogue
from ..golden import epilogue
from .common import configuration, generator, start

FLOATS = {OutputFormat.FP32: (24, -126, 127), OutputFormat.FP16: (11, -14, 15)}
"""Bits of the significand, exponents of the smallest and the largest normal number."""


@dataclass(frozen=True)
class Case:
    """One sum and what shall be done with it."""

    sum: int
    output: OutputFormat
    bias: int = 0
    scale: int = 1
    exponent: int = 0
    relu: bool = False
    zero: bool = False
    """It is masked."""
    limb: int = 0
    """Of RAW outputs, which one."""

    def expected(self) -> tuple[int, bool, bool]:
        if self.output is OutputFormat.RAW:
            return (self.sum + self.bias) >> 32 * self.limb & 0xFFFFFFFF, False, False
        if self.zero:
            return 0, False, False
        done = epilogue.finish(
            [self.sum], self.bias, self.scale, self.exponent, self.relu, self.output
        )
        return int(done.raw[0]), done.overflow, done.saturated


def edges(bits: int):
    """Sums and biases at the ends of an accumulator of `bits`, and sums that cancel."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for output in ROUNDED:
        for relu in (False, True):
            for total in (0, 1, -1, low, low + 1, high, high - 1):
                for scale in (0, 1, 0xFFFF):
                    for exponent in (0, -bits, 1 - bits, 16, -32768, 32767):
                        yield Case(total, output, 0, scale, exponent, relu)
            for bias in (low, low + 1, high, -1, 1):
                for rest in (0, 1, -1):
                    if low <= rest - bias <= high:
                        yield Case(rest - bias, output, bias, 3, -2, relu)
            yield Case(low, output, low, 0xFFFF, -40, relu)
            yield Case(high, output, high, 0xFFFF, -40, relu)


def far(bits: int):
    """INT8 results that are out of range by ever more, up to where nothing is left to shift."""
    for exponent in range(7, 64 + bits):
        for total, scale in ((1, 1), (3, 0x8001), ((1 << (bits - 1)) - 1, 0xFFFF)):
            for sign in (1, -1):
                case = Case(sign * total, OutputFormat.INT8, 0, scale, exponent)
                if not -128 <= case.sum * scale << exponent <= 127:
                    # Written down: what is beyond INT8 is its end, and is said to be clipped.
                    assert case.expected() == (127 if sign > 0 else 128, False, True)
                yield case


def halves(output: OutputFormat, whole: int, place: int):
    """Just at, below and above the middle between `whole` and the next, in units of 2**place,
    of either sign, the rest of the way made by the scale or by the exponent."""
    tie = 2 * whole + 1
    for sign in (1, -1):
        for relu in (False, True):
            yield Case(sign * tie, output, 0, 1, place - 1, relu)
            yield Case(sign * tie, output, 0, 1 << 11, place - 12, relu)
            for step in (-1, 0, 1):
                # A bias makes the difference, far below the rounded place.
                yield Case(sign * (tie << 3), output, step, 1, place - 4, relu)


def ties():
    """Rounding to even in both directions: normal, subnormal, at every boundary there is."""
    for output, (digits, lowest, highest) in FLOATS.items():
        unit = lowest - (digits - 1)
        top = 1 << (digits - 1)
        for whole in (top, top + 1, 2 * top - 2, 2 * top - 1):
            for place in (0, unit + 5, highest - digits + 1, highest - digits, unit, unit + 1):
                yield from halves(output, whole, place)
        # Subnormals: the smallest and half of it, odd and even, and the step to normal numbers.
        for whole in (0, 1, 2, 3, top // 2, top - 2, top - 1, top):
            yield from halves(output, whole, unit)
            yield Case(whole, output, 0, 1, unit)
            yield Case(-whole, output, 0, 1, unit)
        # The largest number, and what lies beyond it.
        for total in (2 * top - 1, 2 * top):
            yield Case(total, output, 0, 1, highest - digits + 1)
            yield Case(-total, output, 0, 1, highest - digits + 1)
    for whole in (0, 1, 2, 3, 126, 127, 128, 129, 255, 256):
        yield from halves(OutputFormat.INT8, whole, 0)
        for sign in (1, -1):
            for shift in (0, 1, 6):
                yield Case(sign * (whole << shift), OutputFormat.INT8, 0, 1, -shift)


def drawn(bits: int) -> Case:
    """A case with every magnitude as likely, and its result where something can happen."""

    def number() -> int:
        value = random.getrandbits(random.randrange(bits))
        return value if random.random() < 0.5 else -value

    output = random.choice(ROUNDED)
    total, bias = number(), random.choice((0, number()))
    if random.random() < 0.1:
        bias = max(min(-total + random.randrange(-3, 4), (1 << (bits - 1)) - 1), -1 << (bits - 1))
    scale = random.choice((1, 1 << random.randrange(16), random.getrandbits(16)))
    top = (abs(total + bias) * scale).bit_length()
    low, high = {
        OutputFormat.FP32: (-153, 131),
        OutputFormat.FP16: (-28, 19),
        OutputFormat.INT8: (-3, 11),
    }[output]
    exponent = random.randrange(low, high) - top
    if random.random() < 0.05:
        exponent = random.randrange(-32768, 32768)
    return Case(total, output, bias, scale, exponent, random.random() < 0.3)


def beside(config) -> Iterator[Case]:
    """Of a device with tensor memory: masked sums, limbs of RAW ones, and both of sums as wide as
    they get with an addend."""
    bits = config.exact_bits
    for _ in range(1500):
        case = drawn(config.accumulator_bits)
        yield replace(case, zero=random.random() < 0.5)
        yield replace(case, sum=drawn(bits).sum)
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    for limb in range(4):
        for total in (0, 1, -1, low, high, *(drawn(bits).sum for _ in range(200))):
            bias = random.choice((0, drawn(config.accumulator_bits).bias))
            if low <= total + bias <= high:
                # Scale and exponent count for nothing.
                scale, exponent = random.getrandbits(16), random.randrange(-300, 300)
                yield Case(total, OutputFormat.RAW, bias, scale, exponent, limb=limb)


@cocotb.test()
async def rounds_once(dut):
    config = configuration()
    generator()
    bits = config.accumulator_bits
    limit = 1 << (bits - 1)
    cases = [*edges(bits), *far(bits), *ties(), *(drawn(bits) for _ in range(3000))]
    cases = [c for c in cases if -limit <= c.sum < limit and -limit <= c.bias < limit]
    if config.tensor_words:
        cases += beside(config)
    random.shuffle(cases)
    await start(dut, "i__valid")

    latency = Epilogue.latency(config)
    due: dict[int, Case] = {}
    seen = set()
    cycle = 0
    while cases or due:
        valid = bool(cases) and random.random() < 0.8
        dut.i__valid.value = valid
        case = cases.pop() if valid else drawn(bits)
        dut.i__sum.value = case.sum
        dut.i__bias.value = case.bias
        dut.i__scale.value = case.scale
        dut.i__exponent.value = case.exponent
        dut.i__relu.value = case.relu
        dut.i__format.value = int(case.output)
        if config.tensor_words:
            dut.i__zero.value, dut.i__limb.value = case.zero, case.limb
        if valid:
            due[cycle + latency] = case
        await FallingEdge(dut.clk)
        cycle += 1
        finished = due.pop(cycle, None)
        if cycle < latency:
            continue  # the pipeline has no reset; the device flushes it
        assert int(dut.o__valid.value) == (finished is not None)
        flags = bool(int(dut.o__overflow.value)), bool(int(dut.o__saturated.value))
        if finished is None:
            assert flags == (False, False)
            continue
        if config.tensor_words:
            assert int(dut.o__raw.value) == (finished.output is OutputFormat.RAW)
        raw = int(dut.o__data.value) & ((1 << finished.output.result_bits) - 1)
        assert (raw, *flags) == finished.expected(), finished
        if finished.output in ROUNDED:
            seen.add((finished.output, finished.relu, *flags))
    # Each format was clipped, and was not, with and without ReLU.
    assert len(seen) == len(ROUNDED) * 2 * 2
