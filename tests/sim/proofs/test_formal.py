"""The proof runner refuses what proves nothing, and fails where it should."""

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from heddle.sim.proofs.formal import ProofError, check, prove


class Counting(wiring.Component):
    """Counts where `step` is set; `claims(m, count, step)` adds what is claimed of it."""

    def __init__(self, claims):
        self.claims = claims
        super().__init__({"step": In(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(4)
        m.d.sync += count.eq(count + self.step)
        m.d.comb += self.claims(count, self.step)
        return m


def fine(count, step):
    return [Assume(step), Assert(count < 16), Cover(count == 3)]


def contradiction(count, step):
    return [Assume(step), Assume(~step), Assert(count == 9), Cover(count == 3)]


def late_contradiction(count, step):
    """In the fourth cycle nothing is possible any more."""
    return [Assume(step), Assume(count < 3), Assert(count < 3), Cover(count == 2)]


def false(count, step):
    return [Assert(count < 3), Cover(count == 2)]


def not_inductive(count, step):
    return [Assume(~step | (count != 4)), Assert(count != 6), Cover(count == 4)]


def out_of_reach(count, step):
    return [Assume(~step), Assert(count == 0), Cover(count == 1)]


def no_cover(count, step):
    return [Assert(count < 16)]


def no_assertion(count, step):
    return [Cover(count == 1)]


def test_what_holds_is_proven():
    prove(lambda: Counting(fine), bounded=6, cover=6, induction=2)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (contradiction, "unsatisfiable"),
        (late_contradiction, "unsatisfiable"),
        (false, "Assert failed"),
        (not_inductive, "Temporal induction failed"),
        (out_of_reach, "Unreached cover"),
        (no_cover, "nothing to cover"),
        (no_assertion, "nothing to assert"),
    ],
)
def test_what_proves_nothing_fails(claims, words):
    with pytest.raises(ProofError, match=words):
        prove(lambda: Counting(claims), bounded=6, cover=6, induction=2)


def test_a_cover_shows_a_contradiction_too():
    with pytest.raises(ProofError, match="nreached cover"):
        check(Counting(contradiction), "cover", 6)
