"""Proof of what is between a frame's bytes and the line, and that it can fail."""

import pytest

from heddle.hw.link import framing
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.framing import FramingProof

from .common import mutate, refuted


def test_framing():
    prove(FramingProof, bounded=6, induction=6, cover=12)


def escapes_no_flag(m, framer):
    with m.If(framer.i.payload.data == framing.FLAG):
        m.d.comb += framer.i.ready.eq(framer.o.ready)


def closes_early(m, framer):
    with m.If(framer.i.valid & framer.i.ready):
        m.d.sync += framer.fsm.state.eq(framer.fsm.encoding["CLOSE"])


def waits_for_ever(m, framer):
    m.d.comb += framer.o.valid.eq(0)


@pytest.mark.parametrize("wrong", [escapes_no_flag, closes_early, waits_for_ever])
def test_wrong_framer_fails(wrong, monkeypatch):
    mutate(monkeypatch, framing.Framer, wrong)
    refuted(FramingProof(), 12)


def forgets_the_escape(m, deframer):
    m.d.comb += deframer.data.eq(deframer.i_data)


def test_wrong_deframer_fails(monkeypatch):
    mutate(monkeypatch, framing.Deframer, forgets_the_escape)
    refuted(FramingProof(), 12)
