"""Random programs of the vector unit, mostly sensible, and commands that run them."""

import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Vector
from ...hw.isa.vector import REGISTERS, STREAMS, Instruction, Op, program_words, sizes, span_groups
from ...sw.compiler.vector import Assembly, bits, strip

RESULTS = [op for op in Op if op < Op.LOAD]
USED = 6
"""Registers of a program, so that instructions depend on each other."""
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 65504.0, 1e-40, float("inf"))


def program(
    config: Config, rng: np.random.Generator, most_rows: int = 40, wrong: bool = False
) -> tuple[Vector, bytes]:
    """A command, and the program that it runs; both lie inside the memory, and if nothing is
    `wrong` so is all that the program touches."""
    code = Assembly(config)
    spans, rows = int(rng.integers(1, 4)), int(rng.integers(1, most_rows))
    columns, lines = (int(n) for n in rng.integers(1, 5, 2))
    if rng.random() < 0.5:
        code.shape(columns, lines)
    streams = []
    for number in range(STREAMS):
        size = int(rng.choice(sizes(config)))
        steps = [int(n) for n in rng.choice([0, 1, 1, 1, 2, 3, -1], 3)]
        if not wrong:
            steps = [abs(step) for step in steps]
        pitch = int(rng.integers(9))
        code.stream(number, size, pitch, steps, bool(rng.random() < 0.2))
        # Where the furthest row and span lie, with the cursor as far as it can be.
        windows = (max(steps) * rows + 40) // config.lanes
        needed = (windows + 1) * pitch + (spans + 12) * span_groups(config, size)
        words = min(needed, config.tensor_words)
        if wrong:
            words = int(rng.integers(words + 1))
        streams.append((int(rng.integers(config.tensor_words - words + 1)), words))
    registers = [int(r) for r in rng.choice(REGISTERS, USED, replace=False)]
    for register in registers:
        code.load(register, int(rng.integers(STREAMS)), *_moves(rng))
    code.work(Op.LESS, registers[0], registers[0], registers[1])
    open_loop = False
    for _ in range(int(rng.integers(4, 16))):
        a, b, target = (int(r) for r in rng.choice(registers, 3))
        match rng.integers(12):
            case 0:
                code.load(target, int(rng.integers(STREAMS)), *_moves(rng))
            case 1 | 2:
                code.store(int(rng.integers(STREAMS)), a, *_moves(rng))
            case 3 if open_loop:
                code.end()
                open_loop = False
            case 3:
                code.loop(int(rng.integers(1, 4)))
                open_loop = True
            case 4:
                code.seek(int(rng.integers(STREAMS)), *_moves(rng))
            case 5 | 6:
                number = float(rng.choice(NUMBERS))
                other = number if rng.random() < 0.7 else bits(int(rng.integers(1 << 32)))
                first, to = _streams(rng, a)
                code.work(Op(int(rng.choice(RESULTS))), target, first, other, to=to)
            case _:
                exchange = 0
                if rng.random() < 0.3:
                    exchange = 1 << int(rng.integers(config.group.bit_length() - 1))
                first, to = _streams(rng, a)
                code.work(Op(int(rng.choice(RESULTS))), target, first, b, exchange, to)
    if open_loop:
        code.end()
    code.store(int(rng.integers(STREAMS)), registers[0], *_moves(rng))
    if wrong and rng.random() < 0.3:
        _spoil(code, rng)
    count = len(code.instructions)
    place = int(rng.integers(config.tensor_words - program_words(config, count) + 1))
    return code.command(place, spans, rows, streams), code.content()


def _streams(rng: np.random.Generator, a: int) -> tuple[int | strip, int | None]:
    """The first operand, which may be a stream's, and where the result goes, if anywhere."""
    stream, how = int(rng.integers(STREAMS)), rng.random()
    return strip(stream) if how < 0.2 else a, stream if how > 0.8 else None


def _moves(rng: np.random.Generator) -> tuple[int, int]:
    if rng.random() < 0.5:
        return 0, 0
    rows, spans = rng.integers(3, size=2)
    return int(rows), int(spans)


def _spoil(code: Assembly, rng: np.random.Generator) -> None:
    """Put an instruction in that nobody knows."""
    most = code.config.group.bit_length()
    wrong = (
        Instruction(Op.STEP, exchange=3),
        Instruction(Op.ADD, exchange=most),
        Instruction(Op.SIZE, value=8),
        Instruction(Op.LOAD, from_stream=True),
        Instruction(Op.ADD, from_stream=True, to_stream=True),
        Instruction(Op.SEEK, to_stream=True),
        _unknown(int(rng.choice([0, 37, 45, 63]))),
    )
    at = int(rng.integers(len(code.instructions) + 1))
    code.instructions.insert(at, wrong[rng.integers(len(wrong))])


class _Unknown(int):
    name = "UNKNOWN"


def _unknown(number: int) -> Instruction:
    return Instruction(_Unknown(number))  # type: ignore[arg-type]
