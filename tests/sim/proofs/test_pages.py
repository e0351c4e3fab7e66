"""Proofs of the page guard, and that they can fail."""

from heddle.hw import pages
from heddle.sim.formal import check
from heddle.sim.proofs.pages import PageGuardProof

from .common import mutate, refuted


def test_page_guard():
    for most in (3, 31):
        check(PageGuardProof(most), "bounded", 3)
        check(PageGuardProof(most), "induction", 3)
    check(PageGuardProof(3), "cover", 8)


def test_page_guard_that_is_never_full_fails(monkeypatch):
    def wrong(m, guard):
        m.d.comb += guard.full.eq(0)

    mutate(monkeypatch, pages.PageGuard, wrong)
    refuted(PageGuardProof(3), 8)
