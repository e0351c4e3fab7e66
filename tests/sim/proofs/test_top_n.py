"""Proof that the largest N of M are kept, of all lines of four, and that it can fail."""

import pytest

from heddle.hw.prune import top_n
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.top_n import TopNProof

from .common import mutate, refuted

DEPTH = 11
"""Cycles in which a line has left, and the next one has come."""


@pytest.mark.slow
def test_top_n():
    prove(lambda: TopNProof(4), bounded=DEPTH, cover=DEPTH + 4)


def names_the_last_one(m, t):
    m.d.comb += t.o.payload.index.eq(t.size - 1)


def ends_at_once(m, t):
    m.d.comb += t.o.payload.last.eq(1)


def gives_what_has_left(m, t):
    m.d.comb += t.o.valid.eq(1)


@pytest.mark.parametrize("wrong", [names_the_last_one, ends_at_once, gives_what_has_left])
def test_wrong_choice_fails(wrong, monkeypatch):
    mutate(monkeypatch, top_n.TopN, wrong)
    refuted(TopNProof(4), DEPTH)
