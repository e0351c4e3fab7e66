"""Proof of the drain's marks, and that it can fail."""

from dataclasses import replace

import pytest

from heddle.hw.array import drain
from heddle.sim.proofs.drain import DrainProof
from heddle.sim.proofs.formal import prove

from .common import INTERLEAVED, SMALL, mutate, refuted

SINGLE = replace(SMALL, rows=1)
"""Whose tiles have one row."""


@pytest.mark.parametrize("config", [SMALL, INTERLEAVED, SINGLE], ids=["T1", "T3", "one row"])
def test_drain_control(config):
    cycles = DrainProof(config).cycles
    prove(lambda: DrainProof(config), bounded=cycles, induction=cycles, cover=2 * cycles)


def ends_early(m, control):
    m.d.comb += control.columns[0].end.eq(control.columns[0].valid)


def forgets_a_row(m, control):
    m.d.comb += control.columns[1].valid.eq(control.columns[0].valid)


def always_the_first_context(m, control):
    m.d.comb += control.columns[2].context.eq(0)


@pytest.mark.parametrize("wrong", [ends_early, forgets_a_row, always_the_first_context])
def test_wrong_drain_control_fails(wrong, monkeypatch):
    mutate(monkeypatch, drain.DrainControl, wrong)
    refuted(DrainProof(INTERLEAVED), 16)
