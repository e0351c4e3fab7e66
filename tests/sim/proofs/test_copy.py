"""Proofs of the copy engine's parts, and that they can fail."""

from dataclasses import replace

import pytest

from heddle.hw.copy import inward, outward, port, rows
from heddle.hw.formats import INT4
from heddle.sim.proofs.copy import (
    CopyRowsProof,
    ExternalPortProof,
    InwardProof,
    OutwardProof,
)
from heddle.sim.proofs.formal import prove

from .common import TENSORS, mutate, refuted

ONE = replace(TENSORS, format=INT4, external_bits=12)
"""With words of four bytes."""
TWO = replace(ONE, lanes=2)


LANES = pytest.mark.parametrize("config", [ONE, TWO], ids=["one lane", "two lanes"])


@LANES
def test_rows(config):
    prove(lambda: CopyRowsProof(config), bounded=5, cover=14)


def test_inward():
    prove(lambda: InwardProof(ONE), bounded=7, cover=12)


def test_outward():
    prove(lambda: OutwardProof(ONE), bounded=8, cover=16)


FURTHER = {"in": (InwardProof, 8, 12), "out": (OutwardProof, 9, 16), "rows": (CopyRowsProof, 7, 14)}
"""More rows after each other: a proof's steps, and its cover's."""


@LANES
@pytest.mark.slow
@pytest.mark.parametrize("proof, steps, cover", FURTHER.values(), ids=FURTHER)
def test_further(proof, steps, cover, config):
    prove(lambda: proof(config), bounded=steps, cover=cover)


def test_port():
    prove(lambda: ExternalPortProof(ONE), bounded=9, cover=14)


def forgets_lines(m, it):
    m.d.sync += it.rows.payload.outside.eq(0)


def never_ends(m, it):
    m.d.sync += it.rows.payload.end.eq(0)


@pytest.mark.parametrize("wrong", [forgets_lines, never_ends])
def test_wrong_rows_fail(wrong, monkeypatch):
    mutate(monkeypatch, rows.CopyRows, wrong)
    refuted(CopyRowsProof(TWO), 5)


def writes_all_lanes(m, it):
    m.d.comb += it.port.enable.eq(it.granted.replicate(len(it.port.enable)))


def takes_every_beat(m, it):
    m.d.comb += it.beats.ready.eq(it.rows.valid)


def one_word_further(m, it):
    m.d.comb += it.port.address[0].eq(it.rows.payload.word + 1)


@pytest.mark.parametrize("wrong", [writes_all_lanes, takes_every_beat, one_word_further])
def test_wrong_inward_fails(wrong, monkeypatch):
    mutate(monkeypatch, inward.Inward, wrong)
    refuted(InwardProof(TWO), 7)


def all_strobes(m, it):
    m.d.comb += it.beats.payload.strobe.eq(-1)


def not_rotated(m, it):
    m.d.comb += it.beats.payload.data.eq(it.port.data)


@pytest.mark.parametrize("wrong", [all_strobes, not_rotated])
def test_wrong_outward_fails(wrong, monkeypatch):
    mutate(monkeypatch, outward.Outward, wrong)
    refuted(OutwardProof(TWO), 7)


def keeps_old_beats(m, it):
    with m.If(it.flush):
        m.d.comb += it.queue.o.ready.eq(it.write.i.ready)


def fills_with_ones(m, it):
    m.d.comb += it.m_axi.wstrb.eq(-1)


def gives_up(m, it):
    m.d.comb += it.busy.eq(it.read.busy)


@pytest.mark.parametrize("wrong", [keeps_old_beats, fills_with_ones, gives_up])
def test_wrong_port_fails(wrong, monkeypatch):
    mutate(monkeypatch, port.ExternalPort, wrong)
    refuted(ExternalPortProof(ONE), 9)
