"""The vector unit: its operations against exact fractions, and whole devices against the golden
model."""

from dataclasses import replace
from fractions import Fraction
from math import inf, isnan

import numpy as np
import pytest

from heddle.hw.config import Config, ConfigError
from heddle.hw.formats import FP16, INT4
from heddle.hw.isa.codes import Flag, Status, Target
from heddle.hw.isa.commands import Sync, Write
from heddle.hw.isa.descriptors import Fill, Vector
from heddle.hw.isa.engines import Engine, after
from heddle.hw.isa.host_stream import packet_of
from heddle.hw.isa.vector import MOST_INSTRUCTIONS, Op
from heddle.sim.golden import vector_ops
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.host_traffic import payload_bits
from heddle.sim.testbenches.vector_lane import operands, small_integers
from heddle.sim.testbenches.vector_traffic import program
from heddle.sw.compiler.vector import Assembly, strip
from heddle.sw.errors import FormatError
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

from .devices import TINY

LANES = Config(
    *("vector_lanes", 4, 4, FP16), lanes=2, tensor_words=1024, activation_groups=64, vector_lanes=8
)
NAN = 0x7FC00000


def value_of(word: int) -> Fraction | float:
    """A binary32 by its definition: sign, exponent and fraction; infinities and NaN as floats."""
    sign, exponent, fraction = word >> 31, word >> 23 & 0xFF, word & 0x7FFFFF
    if exponent == 0xFF:
        return float("nan") if fraction else (-inf if sign else inf)
    significand = fraction + (0x800000 if exponent else 0)
    value = Fraction(significand) * Fraction(2) ** (max(exponent, 1) - 150)
    return -value if sign else value


def rounded(value: Fraction, digits: int = 24, lowest: int = -149, bias: int = 127) -> int:
    """The code of the nearest float without its sign, ties to even; infinity beyond the largest."""
    magnitude, place = abs(value), lowest
    while magnitude >= Fraction(2) ** (place + digits):
        place += 1
    units = magnitude / Fraction(2) ** place
    whole = units.numerator // units.denominator
    rest = units - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2):
        whole += 1
    code = whole + ((place - lowest) << digits - 1)
    return min(code, (2 * bias + 1) << digits - 1)


def exact(op: Op, a: int, b: int) -> int | None:
    """What an operation on finite numbers must give, but for the sign of a zero."""
    x, y = value_of(a), value_of(b)
    integer = b - (b >> 31 << 32)
    if op == Op.FROM_INT:
        value = Fraction((a - (a >> 31 << 32) << 32) + b, 1 << 32)
    elif op == Op.SCALE:
        value = x * Fraction(2) ** max(-1000, min(1000, integer)) if x in _finite(x) else x
    else:
        if isinstance(x, float) or isinstance(y, float):
            return None
        value = {Op.ADD: x + y, Op.SUB: x - y, Op.MUL: x * y}[op]
    if isinstance(value, float):
        return None
    return rounded(value) | (value < 0) << 31


def _finite(x):
    return () if isinstance(x, float) else (x,)


@pytest.mark.parametrize(
    "op", [Op.ADD, Op.SUB, Op.MUL, Op.SCALE, Op.FROM_INT], ids=lambda o: o.name
)
def test_every_rounding_is_the_nearest_even(op):
    rng = np.random.default_rng(int(op))
    a, b = operands(rng, 1500)
    if op in (Op.SCALE, Op.FROM_INT):
        b[:900] = small_integers(rng, 900)
    if op == Op.FROM_INT:
        a[:500] = small_integers(rng, 500)
    got = vector_ops.result(op, a, b, np.zeros(len(a), bool))
    checked = 0
    for x, y, z in zip(a.tolist(), b.tolist(), got.tolist(), strict=True):
        wanted = exact(op, x, y)
        if wanted is not None:
            checked += 1
            assert z == wanted or (wanted == 0 and z == 1 << 31), f"{x:08x} {y:08x} {z:08x}"
    assert checked > 800


def test_halves_and_integers_are_the_nearest_even():
    rng = np.random.default_rng(3)
    a, _ = operands(rng, 3000)
    a[:1500] = (rng.integers(-600, 600, 1500) / np.float32(4)).astype(np.float32).view(np.uint32)
    a[1500:2000] = np.ldexp(a[:500].view(np.float32), -22).view(np.uint32)
    none = np.zeros(len(a), bool)
    halves = vector_ops.result(Op.TO_HALF, a, a, none)
    numbers = {
        Op.TO_INT: vector_ops.result(Op.TO_INT, a, a, none).view(np.int32),
        Op.TO_BYTE: vector_ops.result(Op.TO_BYTE, a, a, none).view(np.int32),
    }
    limits = {Op.TO_INT: 1 << 23, Op.TO_BYTE: 128}
    for i, word in enumerate(a.tolist()):
        value = value_of(word)
        if isinstance(value, float):
            continue
        wanted = rounded(value, 11, -24, 15) | (word >> 31) << 15
        assert halves[i] == wanted, f"{word:08x} {halves[i]:04x}"
        for op, limit in limits.items():
            # Python's round goes to even.
            assert numbers[op][i] == max(-limit, min(limit - 1, round(value))), f"{word:08x}"


def word(x: float) -> np.ndarray:
    return np.array([x], np.float32).view(np.uint32)


@pytest.mark.parametrize(
    ("op", "a", "b", "wanted"),
    [
        (Op.ADD, 0x80000000, 0x80000000, 0x80000000),  # -0 + -0
        (Op.ADD, 0x80000000, 0x00000000, 0x00000000),
        (Op.SUB, 0x3F800000, 0x3F800000, 0x00000000),  # 1 - 1 is +0
        (Op.MUL, 0x80000000, 0x3F800000, 0x80000000),
        (Op.ADD, 0x7F800000, 0xFF800000, NAN),
        (Op.MUL, 0x7F800000, 0x00000000, NAN),
        (Op.ADD, 0xFFC00001, 0x3F800000, NAN),
        (Op.ADD, 0x7F7FFFFF, 0x73000000, 0x7F800000),  # half a last place beyond the largest
        (Op.ADD, 0x7F7FFFFF, 0x72FFFFFF, 0x7F7FFFFF),
        (Op.MUL, 0x00000001, 0x3F000000, 0x00000000),  # a tie, to even
        (Op.MUL, 0x00000003, 0x3F000000, 0x00000002),
        (Op.MIN, 0x00000000, 0x80000000, 0x80000000),
        (Op.MAX, 0x80000000, 0x00000000, 0x00000000),
        (Op.MIN, 0x7F800001, 0x3F800000, NAN),
        (Op.MAX, 0x3F800000, 0xFFFFFFFF, NAN),
        (Op.MAX, 0xBF800000, 0xC0000000, 0xBF800000),
        (Op.LESS, 0x80000000, 0x00000000, 0),
        (Op.EQUAL, 0x80000000, 0x00000000, 0x3F800000),
        (Op.SAME, 0x80000000, 0x00000000, 0),
        (Op.EQUAL, NAN, NAN, 0),
        (Op.SAME, NAN, NAN, 0x3F800000),
        (Op.LESS_EQUAL, 0x3F800000, 0x3F800000, 0x3F800000),
        (Op.LESS, 0xC0000000, 0xBF800000, 0x3F800000),
        (Op.EXPONENT, 0x00000001, 0, (1 << 32) - 149),
        (Op.EXPONENT, 0x41000000, 0, 3),
        (Op.EXPONENT, 0x80000000, 0, 1 << 31),
        (Op.EXPONENT, 0x7F800000, 0, (1 << 31) - 1),
        (Op.MANTISSA, 0xC0C00000, 0, 0xBFC00000),  # -6 = -1.5 * 4
        (Op.MANTISSA, 0x00000003, 0, 0x3FC00000),
        (Op.MANTISSA, 0x80000000, 0, 0x80000000),
        (Op.FROM_HALF, 0x0001, 0, 0x33800000),
        (Op.FROM_HALF, 0xFC00, 0, 0xFF800000),
        (Op.FROM_HALF, 0x7C01, 0, NAN),
        (Op.TO_INT, 0x7FC00000, 0, 0),
        (Op.TO_BYTE, 0x42FF0000, 0, 127),  # 127.5 would round to 128
        (Op.TO_BYTE, 0xC3004000, 0, (1 << 32) - 128),
    ],
    ids=lambda v: v.name if isinstance(v, Op) else f"{v:x}",
)
def test_what_the_standard_says(op, a, b, wanted):
    a, b = (np.array([x & 0xFFFFFFFF], np.uint32) for x in (a, b))
    assert vector_ops.result(op, a, b, np.zeros(1, bool))[0] == wanted


def test_select_takes_what_the_mask_says():
    a, b, mask = word(1.0), word(2.0), np.array([True])
    assert vector_ops.result(Op.SELECT, a, b, mask) == a
    assert vector_ops.result(Op.SELECT, a, b, ~mask) == b
    assert isnan(vector_ops.result(Op.MIN, word(float("nan")), a, mask).view(np.float32)[0])


@pytest.mark.parametrize(
    "config", [TINY, pytest.param(LANES, marks=pytest.mark.slow)], ids=lambda c: c.name
)
def test_programs_on_a_whole_device(config):
    """Random programs among commands of the movers, which share memory and ports with them."""
    rng = np.random.default_rng(4)
    everything = after(dict.fromkeys(Engine, 0))
    count = 64 * config.stream_bytes // payload_bits(config)[Target.VALUES]
    memory = rng.integers(0, 256, (config.tensor_words, config.stream_bytes), np.uint8)
    packets = [
        packet_of(config, Write(at, 512), memory[at : at + 512].tobytes())
        for at in range(0, config.tensor_words, 512)
    ]
    for number in range(24):
        command, content = program(config, rng, most_rows=24, wrong=number % 4 == 3)
        words = len(content) // config.stream_bytes
        packets.append(packet_of(config, Write(command.program, words), content))
        # The filler reads beside the unit, on its port; what it gets nobody looks at.
        fill = Fill(Target.VALUES, 0, count, int(rng.integers(500)), words=8)
        vector = replace(command, waits=everything)
        packets.append(packet_of(config, vector) + packet_of(config, fill))
    packets.append(packet_of(config, Sync()))
    answers, held, flags = [], [], []
    for transport in (
        ModelTransport(config),
        SimulatedTransport(config, stalls=Stalls(0.2, 0.2, seed=5)),
    ):
        with Device(transport, config.name) as device:
            got = device.transport.exchange(packets)
            answers.append([answer_of(config, answer).status for answer in got])
            held.append(device.read_memory(0, config.tensor_words))
            flags.append(device.flags())
    assert answers[0] == answers[1] == [Status.OK] * len(packets)
    assert (held[0] == held[1]).all()
    # An activation that is no number is the mover's to tell.
    ours = {Flag.FAULT, Flag.OVERFLOW, Flag.SATURATED}
    assert flags[0] & ours == flags[1] & ours


def test_headers_that_are_refused():
    config = TINY
    good = {"program": 0, "instructions": 1, "spans": 1, "rows": 1}
    cases = [
        (good | {"instructions": 0}, Status.BAD_FIELD),
        (good | {"instructions": MOST_INSTRUCTIONS + 1}, Status.BAD_FIELD),
        (good | {"rows": 0}, Status.BAD_FIELD),
        (good | {"spans": 0}, Status.BAD_FIELD),
        (good | {"program": 4096}, Status.BAD_ADDRESS),
        (good | {"program": 4095, "instructions": 2}, Status.BAD_ADDRESS),
        (good | {"base_2": 4072, "words_2": 25}, Status.BAD_ADDRESS),
        (good | {"base_3": 4072, "words_3": 24}, Status.OK),
        (good | {"base_1": 0xFFFF, "words_1": 0}, Status.OK),
    ]
    packets = [packet_of(config, Vector(**fields)) for fields, _ in cases]
    for kind in (ModelTransport, SimulatedTransport):
        transport = kind(config)
        answers = transport.exchange(packets)
        assert [answer_of(config, a).status for a in answers] == [status for _, status in cases]
        transport.close()
    without = ModelTransport(replace(config, vector_lanes=0))
    assert answer_of(config, without.exchange(packets)[0]).status == Status.BAD_OPCODE


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vector_lanes": 3}, "0 or a power of two to 8"),
        ({"vector_lanes": 16}, "0 or a power of two to 8"),
        ({"vector_lanes": 4, "tensor_words": 0}, "0 without tensor_words"),
        ({"vector_lanes": 4, "format": INT4}, "less than 8 bytes"),
    ],
)
def test_configurations_that_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        replace(TINY, **fields)


def test_programs_that_are_refused():
    code = Assembly(TINY)
    with pytest.raises(FormatError, match="nothing was written to register 3"):
        code.work(Op.ADD, 0, 3, 1.0)
    with pytest.raises(FormatError, match="there is no register 32"):
        code.load(32, 0)
    with pytest.raises(FormatError, match="there is no stream 4"):
        code.load(0, 4)
    code.load(0, 0)
    with pytest.raises(FormatError, match="there is no stream 4"):
        code.work(Op.ADD, 0, strip(4), 1.0)
    with pytest.raises(FormatError, match="or gives to one"):
        code.work(Op.ADD, 0, strip(0), 1.0, to=0)
    with pytest.raises(FormatError, match="elements 3 apart"):
        code.work(Op.ADD, 0, 0, 0, exchange=3)
    with pytest.raises(FormatError, match="none before it"):
        code.work(Op.SELECT, 0, 0, 0)
    with pytest.raises(FormatError, match="no loop to end"):
        code.end()
    code.loop(2)
    with pytest.raises(FormatError, match="holds no loop"):
        code.loop(2)
    with pytest.raises(FormatError, match="ends its loops"):
        code.content()
    with pytest.raises(FormatError, match="no elements of 1 bytes beside fp16"):
        Assembly(LANES).stream(0, 1, 1)


def test_instructions_and_commands_as_bytes():
    """As docs/vector.md and docs/commands.md have them: fields from the lowest bit on."""
    code = Assembly(TINY)
    code.load(3, 2, rows=-1, spans=2)
    code.work(Op.ADD, 31, 3, 3, exchange=4)
    code.work(Op.MUL, 1, 31, 0.5)
    code.work(Op.SUB, 2, strip(3), 31)
    code.work(Op.SUB, 2, 31, 1.0, to=1)
    code.stream(1, 4, 0x1234, (0, 1, 2), serves_all=True)
    words = [int.from_bytes(i.encode(), "little") for i in code.instructions]
    assert words == [
        32 | 3 << 8 | 2 << 24 | 0x0002FFFF << 32,
        1 | 31 << 8 | 3 << 13 | 3 << 18 | 3 << 26,
        3 | 1 << 8 | 31 << 13 | 1 << 23 | 0x3F000000 << 32,
        2 | 1 << 6 | 2 << 8 | 31 << 18 | 3 << 24,
        2 | 1 << 7 | 2 << 8 | 31 << 13 | 1 << 23 | 1 << 24 | 0x3F800000 << 32,
        42 | 1 << 24 | 0x1234 << 32,
        43 | 1 << 24 | (1 << 16 | 4) << 32,
        44 | 1 << 24,
        44 | 1 << 24 | 2 << 26 | 2 << 32,
    ]
    command = code.command(0x0102, 0x0304, 0x0506, [(7, 8), (0, 0), (0x1011, 0x1213)], waits=5)
    header = int.from_bytes(command.encode(0xAB), "little")
    fields = [(11, 8), (0xAB, 8), (0x0102, 16), (9, 16), (0x0304, 16), (0x0506, 16)]
    fields += [(n, 16) for n in (7, 8, 0, 0, 0x1011, 0x1213, 0, 0)] + [(5, 30)]
    for value, bits in fields:
        assert header & (1 << bits) - 1 == value
        header >>= bits
