"""Proofs that side operands are read where they lie, once, and that they can fail."""

from dataclasses import replace

import pytest

from heddle.hw.tensor import side, windows
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.side import SideProof

from .common import TENSORS, mutate, refuted

NARROW = replace(TENSORS, columns=2)
"""Rows of 2, 4 and 8 bytes in groups of 8: a row may lie across two."""


@pytest.mark.slow
def test_side():
    prove(lambda: SideProof(NARROW), bounded=8, cover=14)


def goes_beyond(m, reader):
    m.d.sync += reader.asked.token.nothing.eq(0)


def reads_the_first(m, reader):
    m.d.sync += reader.asked.address.eq(reader.runs.payload.addends.windows.start)


def forgets_a_column(m, reader):
    m.d.comb += reader.columns[1].addend.eq(0)


def gives_too_many(m, reader):
    m.d.comb += reader.columns[0].mask.eq(1)


@pytest.mark.parametrize(
    ("wrong", "cycles"),
    [
        (goes_beyond, 4),
        (reads_the_first, 5),
        (gives_too_many, 6),
        pytest.param(forgets_a_column, 11, marks=pytest.mark.slow),
    ],
)
def test_wrong_reader_fails(wrong, cycles, monkeypatch):
    mutate(monkeypatch, side.SideReader, wrong)
    refuted(SideProof(NARROW), cycles)


def stays_in_its_window(m, walk):
    m.d.comb += walk.address.eq(walk.place.start)


def is_never_outside(m, walk):
    m.d.comb += walk.outside.eq(0)


@pytest.mark.parametrize("wrong", [stays_in_its_window, is_never_outside])
def test_wrong_windows_fail(wrong, monkeypatch):
    mutate(monkeypatch, windows.Windows, wrong)
    refuted(SideProof(NARROW), 6)
