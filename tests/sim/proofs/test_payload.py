"""Proofs of the dealer, and that they can fail."""

import pytest

from heddle.hw.control import payload as dealer
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.payload import DealerProof

from .common import SMALL, mutate, refuted


def test_dealer():
    prove(lambda: DealerProof(SMALL), bounded=14, induction=3, cover=22)


def always_ready(m, dealer):
    m.d.comb += dealer.i.ready.eq(1)


def one_chunk(m, dealer):
    m.d.comb += dealer.write.chunk.eq(0)


def never_done(m, dealer):
    m.d.comb += dealer.done.eq(0)


@pytest.mark.parametrize("wrong", [always_ready, one_chunk, never_done])
def test_wrong_dealer_fails(wrong, monkeypatch):
    mutate(monkeypatch, dealer.Dealer, wrong)
    refuted(DealerProof(SMALL), 10)
