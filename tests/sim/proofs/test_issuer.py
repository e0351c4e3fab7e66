"""Proofs of the issuer, and that they can fail."""

import pytest

from heddle.hw.control import issuer
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.issuer import IssuerProof

from .common import INTERLEAVED, SMALL, mutate, refuted


@pytest.mark.parametrize("config", [SMALL, INTERLEAVED], ids=["T1", "T3"])
def test_issuer(config):
    prove(lambda: IssuerProof(config, whole=False), bounded=3, induction=3, cover=20)
    prove(lambda: IssuerProof(config, whole=True), bounded=20, cover=20)


def forgets_the_drain(m, issuer):
    m.d.sync += [issuer.drain.eq(0), issuer.finished.eq(0)]


def forgets_the_rows(m, issuer):
    m.d.sync += issuer.room.eq(0)


def loads_always(m, issuer):
    m.d.comb += issuer.load.eq(issuer.records.valid)


def waits_for_ever(m, issuer):
    m.d.comb += [issuer.valid.eq(0), issuer.records.ready.eq(0)]


@pytest.mark.parametrize(
    "wrong", [forgets_the_drain, forgets_the_rows, loads_always, waits_for_ever]
)
def test_wrong_issuer_fails(wrong, monkeypatch):
    mutate(monkeypatch, issuer.Issuer, wrong)
    refuted(IssuerProof(INTERLEAVED, whole=True), 20)
