"""Proofs of the page guard, and that they can fail."""

import pytest

from heddle.hw.control import interlock as pages
from heddle.sim.proofs.formal import check, prove
from heddle.sim.proofs.interlock import PageGuardProof

from .common import PAGED, SMALL, mutate, refuted


@pytest.mark.parametrize("config", [SMALL, PAGED], ids=["T1", "paged"])
def test_page_guard(config):
    prove(lambda: PageGuardProof(config, 3), bounded=3, induction=3, cover=8)


def test_page_guard_of_many():
    # That it is full is reached as with few holders, only much later.
    check(PageGuardProof(SMALL, 31), "bounded", 3)
    check(PageGuardProof(SMALL, 31), "induction", 3)


def test_page_guard_that_is_never_full_fails(monkeypatch):
    def wrong(m, guard):
        m.d.comb += guard.full.eq(0)

    mutate(monkeypatch, pages.PageGuard, wrong)
    refuted(PageGuardProof(SMALL, 3), 8)
