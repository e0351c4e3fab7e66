"""Proofs of what counts the engines, and that they can fail."""

from heddle.hw.control import array_waits, tally
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.tally import ArrayWaitsProof, TallyProof

from .common import mutate, refuted


def test_tally():
    # The low bits, three, have wrapped by then.
    prove(lambda: TallyProof(2, 4), bounded=12, cover=12)


def test_tally_of_too_few_bits_fails(monkeypatch):
    """They could wrap twice between two visits."""
    monkeypatch.setattr(tally, "CYCLES_A_VISIT", 1)
    refuted(TallyProof(2, 4), 12)


def test_one_cause():
    prove(ArrayWaitsProof, bounded=1, cover=1, induction=1)


def test_two_causes_fail(monkeypatch):
    def wrong(m, waits):
        m.d.comb += waits.causes.array_host.eq(waits.starved)

    mutate(monkeypatch, array_waits.ArrayWaits, wrong)
    refuted(ArrayWaitsProof(), 1)
