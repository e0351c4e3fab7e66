"""Proofs that ROWS read and fill what they should, and that they can fail."""

from dataclasses import replace

import pytest

from heddle.hw.formats import INT4
from heddle.hw.tensor import gather, rows, walk
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.rows import RowMoverProof

from .common import TENSORS, mutate, refuted

WINDOWS = replace(TENSORS, format=INT4, rows=4, lanes=2)
"""Two windows of two rows."""


ACROSS = replace(WINDOWS, rows=8, columns=8, lanes=4, training=True)
"""Which can also transpose them."""
GROUPED = replace(ACROSS, lanes=2)
"""Of which few words are whole windows."""


@pytest.mark.slow
@pytest.mark.parametrize(("config", "cover"), [(WINDOWS, 16), (ACROSS, 28)])
def test_row_mover(config, cover):
    prove(lambda: RowMoverProof(config), bounded=12, cover=cover)


@pytest.mark.slow
def test_transposed_rows():
    prove(lambda: RowMoverProof(ACROSS, "transposed"), bounded=18, cover=28)


@pytest.mark.slow
def test_grouped_rows():
    prove(lambda: RowMoverProof(GROUPED, "grouped"), bounded=21, cover=28)


def reads_what_lies_outside(m, g):
    m.d.comb += g.port.address[1].eq(g.i.payload.address)


def ends_with_each_window(m, g):
    m.d.comb += g.finished.eq(g.write.valid)


@pytest.mark.parametrize("wrong", [reads_what_lies_outside, ends_with_each_window])
def test_wrong_gatherer_fails(wrong, monkeypatch):
    mutate(monkeypatch, gather.Gatherer, wrong)
    refuted(RowMoverProof(WINDOWS), 16)


def forgets_the_part(m, mover):
    m.d.comb += mover.turned.part.eq(0)


def forgets_the_turn(m, mover):
    m.d.comb += mover.turned.turn.eq(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "config", "kind", "depth"),
    [(forgets_the_part, ACROSS, "transposed", 18), (forgets_the_turn, GROUPED, "grouped", 22)],
)
def test_wrong_turning_fails(wrong, config, kind, depth, monkeypatch):
    mutate(monkeypatch, rows.RowMover, wrong)
    refuted(RowMoverProof(config, kind), depth)


def loses_a_window(m, w):
    m.d.comb += w.i.ready.eq(1)


def is_never_first(m, w):
    m.d.sync += w.o.payload.first.eq(0)


@pytest.mark.parametrize("wrong", [loses_a_window, is_never_first])
def test_wrong_walk_fails(wrong, monkeypatch):
    mutate(monkeypatch, walk.RowWalk, wrong)
    refuted(RowMoverProof(WINDOWS), 18)


def trusts_its_words(m, mover):
    m.d.comb += mover.gatherer.i.payload.groups[0].needed.eq(1)


def test_wrong_mover_fails(monkeypatch):
    mutate(monkeypatch, rows.RowMover, trusts_its_words)
    refuted(RowMoverProof(WINDOWS), 14)
