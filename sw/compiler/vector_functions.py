"""Functions that the vector unit approximates, operation by operation: exp, log, reciprocal,
sigmoid; and exact sums to the nearest binary32.

Each works on a register in place, with some spare ones. Sources: exp by range reduction and the
polynomial of Cephes' `expf`, log likewise by that of `logf` (S. Moshier); the reciprocal by
Newton's iteration from the line that is nearest to 1/t between 1/2 and 1.
"""

from collections.abc import Sequence

from ...hw.isa.vector import Op
from .vector import Assembly, bits

LOG2_E = 1.44269504088896341
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
"""ln 2 in two parts; a multiple of the first one by an integer of 15 bits is exact."""
EXP = (
    *(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3),
    *(4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
)
"""``exp(r) = 1 + r + r**2 * p(r)``, the highest coefficient first."""
LOG = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1),
    *(-1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1),
    *(2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
"""``log(1 + r) = r - r**2 / 2 + r**3 * p(r)``, the highest coefficient first."""
SQRT_2 = 1.41421356237309505
LEAST, MOST = -104.0, 89.0
"""Beyond them exp is 0 or infinite."""
FAR = 88.0
"""Beyond it, sigmoid is what it is there."""
LINE = 48 / 17, -32 / 17
NEWTON = 3
SIGN, ALL_ONES = bits(1 << 31), bits((1 << 32) - 1)


def _polynomial(code: Assembly, made: int, x: int, coefficients: Sequence[float]) -> None:
    """Of x, by Horner's rule, the highest coefficient first."""
    highest, *others = coefficients
    code.work(Op.MUL, made, x, highest)
    for number, coefficient in enumerate(others):
        if number:
            code.work(Op.MUL, made, made, x)
        code.work(Op.ADD, made, made, coefficient)


def exp(code: Assembly, x: int, spare: Sequence[int]) -> None:
    """``x = exp(x)``, with three spare registers; NaN stays."""
    power, part, sum_ = spare[:3]
    code.work(Op.MAX, x, x, LEAST)
    code.work(Op.MIN, x, x, MOST)
    code.work(Op.MUL, power, x, LOG2_E)
    code.work(Op.TO_INT, power, power)
    code.work(Op.FROM_INT, part, power, bits(0))
    code.work(Op.MUL, sum_, part, LN2_HIGH)
    code.work(Op.SUB, x, x, sum_)
    code.work(Op.MUL, sum_, part, LN2_LOW)
    code.work(Op.SUB, x, x, sum_)
    _polynomial(code, sum_, x, EXP)
    code.work(Op.MUL, part, x, x)
    code.work(Op.MUL, sum_, sum_, part)
    code.work(Op.ADD, x, sum_, x)
    code.work(Op.ADD, x, x, 1.0)
    code.work(Op.SCALE, x, x, power)


def reciprocal(code: Assembly, x: int, spare: Sequence[int]) -> None:
    """``x = 1 / x``, of a finite number that is not zero, with four spare registers."""
    power, minus, positive, part = spare[:4]
    code.work(Op.EXPONENT, power, x)
    code.work(Op.XOR, power, power, ALL_ONES)  # -1 - exponent
    code.work(Op.MANTISSA, x, x)
    code.work(Op.MUL, minus, x, -0.5)
    code.work(Op.AND, positive, minus, SIGN)
    # Of a magnitude from 1/2 to 1, negated; the sign comes back at the end.
    code.work(Op.OR, minus, minus, SIGN)
    code.work(Op.MUL, x, minus, -LINE[1])
    code.work(Op.ADD, x, x, LINE[0])
    for _ in range(NEWTON):
        code.work(Op.MUL, part, minus, x)
        code.work(Op.ADD, part, part, 2.0)
        code.work(Op.MUL, x, x, part)
    code.work(Op.SCALE, x, x, power)
    code.work(Op.XOR, positive, positive, SIGN)
    code.work(Op.OR, x, x, positive)


def log(code: Assembly, x: int, spare: Sequence[int]) -> None:
    """``x = log(x)``, natural, of a normal number above zero, with four spare registers.

    ``m * 2**e`` with m from sqrt(1/2) to sqrt(2), and Cephes' polynomial of m - 1.
    """
    power, square, part, test = spare[:4]
    code.work(Op.EXPONENT, power, x)
    code.work(Op.FROM_INT, power, power, bits(0))
    code.work(Op.MANTISSA, x, x)
    code.work(Op.MUL, part, x, 0.5)
    code.work(Op.ADD, square, power, 1.0)
    code.work(Op.LESS, test, x, SQRT_2)
    code.work(Op.SELECT, x, x, part)
    code.work(Op.SELECT, power, power, square)
    code.work(Op.SUB, x, x, 1.0)
    code.work(Op.MUL, square, x, x)
    _polynomial(code, part, x, LOG)
    code.work(Op.MUL, part, part, x)
    code.work(Op.MUL, part, part, square)
    code.work(Op.MUL, test, power, LN2_LOW)
    code.work(Op.ADD, part, part, test)
    code.work(Op.MUL, square, square, 0.5)
    code.work(Op.SUB, part, part, square)
    code.work(Op.ADD, x, x, part)
    code.work(Op.MUL, power, power, LN2_HIGH)
    code.work(Op.ADD, x, x, power)


def sigmoid(code: Assembly, x: int, spare: Sequence[int]) -> None:
    """``x = 1 / (1 + exp(-x))``, with four spare registers."""
    code.work(Op.XOR, x, x, SIGN)
    code.work(Op.MAX, x, x, -FAR)
    code.work(Op.MIN, x, x, FAR)
    exp(code, x, spare)
    code.work(Op.ADD, x, x, 1.0)
    reciprocal(code, x, spare)


def nearest(code: Assembly, limbs: Sequence[int], spare: Sequence[int], unit_log2: int) -> None:
    """The first limb becomes the nearest binary32 to a two's complement integer of 128 bits, times
    ``2**unit_log2``; limbs are the lowest first, spare registers four."""
    low, second, third, high = limbs
    sign, test, rest, power = spare
    code.work(Op.AND, sign, high, SIGN)
    code.work(Op.SAME, test, sign, SIGN)
    code.work(Op.COPY, test, b=bits(0))
    code.work(Op.COPY, sign, b=ALL_ONES)
    code.work(Op.SELECT, sign, sign, test)
    # The upper two limbs, and whether there is something below; if they are only signs, the next
    # two, and so on: 24 bits, the half below them and what breaks a tie are in any two that begin
    # with no more than a sign.
    code.work(Op.COPY, power, b=bits(96 + unit_log2 & 0xFFFFFFFF))
    code.work(Op.OR, rest, low, second)
    for step in range(2):
        code.work(Op.XOR, test, third, sign)
        code.work(Op.AND, test, test, SIGN)
        code.work(Op.XOR, high, high, sign)
        code.work(Op.OR, test, test, high)
        code.work(Op.XOR, high, high, sign)
        code.work(Op.SAME, test, test, bits(0))
        lower = (second, low)[step]
        code.work(Op.SELECT, high, third, high)
        code.work(Op.SELECT, third, lower, third)
        code.work(Op.COPY, test, b=bits(((64, 32)[step] + unit_log2) & 0xFFFFFFFF))
        code.work(Op.SELECT, power, test, power)
        code.work(Op.COPY, test, b=bits(0) if step else low)
        code.work(Op.SELECT, rest, test, rest)
    code.work(Op.SAME, test, rest, bits(0))
    code.work(Op.COPY, test, b=bits(1))
    code.work(Op.COPY, rest, b=bits(0))
    code.work(Op.SELECT, rest, rest, test)
    code.work(Op.OR, third, third, rest)
    code.work(Op.FROM_INT, low, high, third)
    code.work(Op.SCALE, low, low, power)
