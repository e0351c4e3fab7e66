"""A lane of the vector unit: every operation on random, directed and close operands, one a cycle,
with the results of NumPy's float32."""

import random
from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from ...hw.config import Config
from ...hw.isa.vector import COMPARISONS, Op
from ...hw.vector.lane import Lane
from ..golden import vector_ops
from .common import generator, start

OPERATIONS = [op for op in Op if op < Op.LOAD]
EDGES = [
    *(0, 1, 2, 0x007FFFFF, 0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000),  # subnormals, smallest
    *(0x3F800000, 0x3F7FFFFF, 0x3F800001, 0x40000000, 0x3F000000, 0x3EFFFFFF),  # 1, 2, a half
    *(0x4B000000, 0x4B7FFFFF, 0x4B000001, 0x4A7FFFFE, 0x4AFFFFFF, 0x4EFFFFFF),  # near 2**23, 2**31
    *(0x7F7FFFFF, 0x7F000000, 0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF),  # largest and beyond
    *(0x477FE000, 0x477FEFFF, 0x477FF000, 0x38800000, 0x387FF000, 0x33000000, 0x33000001),  # halves
    *(0x42FF0000, 0x43000000, 0x42FE8000, 0x3FC00000, 0x40200000),  # bytes, ties
]


def lane(config: Config) -> Lane:
    return Lane()


def operands(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of words: any, edges, and such as cancel, tie or just differ."""
    edges = np.array(EDGES, np.uint32)
    edges = np.concatenate([edges, edges | np.uint32(1 << 31)])
    words = rng.integers(0, 1 << 32, (2, count), np.uint32)
    a, b = np.where(rng.random((2, count)) < 0.3, rng.choice(edges, (2, count)), words)
    near = rng.random(count) < 0.3
    close = a + rng.integers(-3, 4, count).astype(np.uint32)
    close ^= (rng.integers(2, size=count) << 31).astype(np.uint32)
    # Exponents not far apart, where an addition aligns and a product has its ties.
    apart = rng.integers(-30, 31, count) << 23
    shifted = (b & 0x807FFFFF) | ((a.astype(np.int64) & 0x7F800000) + apart & 0x7F800000)
    few = rng.choice([0xFFFFFFFF, 0xFFFFF000, 0xFFF80000], count)
    b = np.where(near, close, np.where(rng.random(count) < 0.5, shifted, b) & few)
    return a.astype(np.uint32), b.astype(np.uint32)


def small_integers(rng: np.random.Generator, count: int) -> np.ndarray:
    """Powers of two for SCALE, and low or high halves of integers."""
    near = rng.integers(-300, 301, count)
    far = rng.choice([-1 << 31, (1 << 31) - 1, 511, 512, -512, -513, 0], count)
    return np.where(rng.random(count) < 0.8, near, far).astype(np.int32).view(np.uint32)


@cocotb.test()
async def every_operation(dut):
    rng = generator()
    await start(dut, "op", "a", "b", "mask")
    count = 400 * len(OPERATIONS)
    ops = np.array([random.choice(OPERATIONS) for _ in range(count)])
    a, b = operands(rng, count)
    integers = small_integers(rng, count)
    b = np.where((ops == Op.SCALE) | (ops == Op.FROM_INT) & (rng.random(count) < 0.5), integers, b)
    whole = (ops == Op.FROM_INT) & (rng.random(count) < 0.5)
    a = np.where(whole, rng.choice(small_integers(rng, 64), count), a).astype(np.uint32)
    # Numbers that round to halves, bytes and integers of 24 bits, many of them ties.
    converts = (ops == Op.TO_HALF) | (ops == Op.TO_BYTE) | (ops == Op.TO_INT)
    near = rng.integers(-600, 600, count).astype(np.float32) / np.float32(4)
    near = np.ldexp(near, rng.choice([0, 0, -24, -20, 7, 15], count)).view(np.uint32)
    a = np.where(converts & (rng.random(count) < 0.6), near, a).astype(np.uint32)
    b = b.astype(np.uint32)
    mask = rng.integers(2, size=count).astype(bool)
    wanted = np.zeros(count, np.uint32)
    held = np.zeros(count, bool)
    flags = np.zeros(count, np.uint8)
    for op in OPERATIONS:
        of = ops == op
        wanted[of] = vector_ops.result(op, a[of], b[of], mask[of])
        flags[of] = flagged(op, a[of])
        if op in COMPARISONS:
            held[of] = vector_ops.holds(op, a[of], b[of])
    due: deque = deque()
    compared: deque = deque()
    checked = 0
    for cycle in range(count + Lane.latency + 1):
        if cycle < count:
            dut.op.value, dut.a.value, dut.b.value = int(ops[cycle]), int(a[cycle]), int(b[cycle])
            dut.mask.value = int(mask[cycle])
        await RisingEdge(dut.clk)
        if len(due) == Lane.latency and (n := due.popleft()) is not None:
            got = int(dut.data.value)
            text = f"{Op(ops[n]).name} {a[n]:08x} {b[n]:08x} {mask[n]}"
            assert got == wanted[n], f"{text}: {got:08x}, not {wanted[n]:08x}"
            assert int(dut.overflow.value) | int(dut.saturated.value) << 1 == flags[n], text
            checked += 1
        if len(compared) == Lane.COMPARED and (n := compared.popleft()) is not None:
            if ops[n] in COMPARISONS:
                assert int(dut.holds.value) == held[n], f"{Op(ops[n]).name} {a[n]:08x} {b[n]:08x}"
        due.append(cycle if cycle < count else None)
        compared.append(due[-1])
    assert checked == count


def flagged(op: Op, a: np.ndarray) -> np.ndarray:
    """The flags of an operation on words: 1 where a binary16 is no finite number, 2 where an
    integer was clipped."""
    x = a.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        if op == Op.TO_HALF:
            return (~np.isfinite(x.astype(np.float16))).astype(np.uint8)
        if op in (Op.TO_BYTE, Op.TO_INT):
            limit = 2.0 ** (7 if op == Op.TO_BYTE else 23)
            return np.where((x >= -limit - 0.5) & (x < limit - 0.5), 0, 2).astype(np.uint8)
    return np.zeros(len(a), np.uint8)
