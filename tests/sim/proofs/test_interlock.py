"""Proofs of the interlock, and that they can fail."""

import pytest

from heddle.hw.control import interlock
from heddle.sim.proofs.formal import check, prove
from heddle.sim.proofs.interlock import InterlockProof

from .common import PAGED, SMALL, mutate, refuted


@pytest.mark.parametrize("config", [SMALL, PAGED], ids=["T1", "paged"])
def test_interlock(config):
    prove(lambda: InterlockProof(config, 3), bounded=3, induction=3, cover=8)


def test_interlock_of_many():
    # That it is full is reached as with few holders, only much later.
    check(InterlockProof(SMALL, 31), "bounded", 3)
    check(InterlockProof(SMALL, 31), "induction", 3)


def test_interlock_that_is_never_full_fails(monkeypatch):
    def wrong(m, guard):
        m.d.comb += guard.full.eq(0)

    mutate(monkeypatch, interlock.Interlock, wrong)
    refuted(InterlockProof(SMALL, 3), 8)
