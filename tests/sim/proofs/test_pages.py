"""Proofs of the page guard, and that they can fail."""

from heddle.hw import pages
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.pages import PageGuardProof

from .common import PAGED, SMALL, mutate, refuted


def test_page_guard():
    for config, most in ((SMALL, 3), (SMALL, 31), (PAGED, 3)):
        prove(
            lambda config=config, most=most: PageGuardProof(config, most),
            bounded=3,
            induction=3,
            cover=most + 5,
        )


def test_page_guard_that_is_never_full_fails(monkeypatch):
    def wrong(m, guard):
        m.d.comb += guard.full.eq(0)

    mutate(monkeypatch, pages.PageGuard, wrong)
    refuted(PageGuardProof(SMALL, 3), 8)
