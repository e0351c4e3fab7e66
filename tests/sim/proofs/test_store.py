"""Proofs that rows are stored where they belong, and that they can fail."""

from dataclasses import replace

import pytest
from amaranth import Mux

from heddle.hw.tensor import store
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.store import StoreProof

from .common import TENSORS, mutate, refuted

NARROW = replace(TENSORS, columns=2)
"""Rows of 2, 4 and 8 bytes in groups of 8: in FP32 they reach into two groups."""


@pytest.mark.slow
def test_store():
    prove(lambda: StoreProof(NARROW), bounded=8, cover=8)


def goes_beyond(m, s):
    m.d.comb += s.port.enable.eq(-1)


def ends_early(m, s):
    m.d.comb += s.finished.eq(s.row.valid & s.row.go & s.row.final)


def writes_one_further(m, s):
    m.d.comb += s.port.address[0].eq(Mux(s.run.place.pad, s.run.place.windows.start, 0))


@pytest.mark.parametrize("wrong", [goes_beyond, ends_early, writes_one_further])
def test_wrong_store_fails(wrong, monkeypatch):
    mutate(monkeypatch, store.Store, wrong)
    refuted(StoreProof(NARROW), 5)
