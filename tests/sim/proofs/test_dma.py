"""Proofs of the DMA's two halves, and that they can fail."""

import pytest

from heddle.hw.bus import dma
from heddle.sim.proofs.dma import ReaderProof, WriterProof
from heddle.sim.proofs.formal import prove

from .common import SMALL, mutate, refuted


def test_reader():
    prove(lambda: ReaderProof(SMALL), bounded=12, cover=16)


def test_writer():
    prove(lambda: WriterProof(SMALL), bounded=10, cover=18)


def never_last(m, half):
    m.d.comb += half.o.payload.last.eq(0)


def takes_data_always(m, half):
    m.d.comb += half.channel.o.ready.eq(1)


def asks_for_more(m, half):
    m.d.comb += m.submodules.cutter.spans.payload.beats.eq(half.beats + 1)


def over_at_once(m, half):
    m.d.comb += half.busy.eq(0)


@pytest.mark.parametrize("wrong", [never_last, takes_data_always, asks_for_more, over_at_once])
def test_wrong_reader_fails(wrong, monkeypatch):
    mutate(monkeypatch, dma.Reader, wrong)
    refuted(ReaderProof(SMALL), 12)


def long_bursts(m, half):
    m.d.comb += m.submodules.channel.bursts.payload.beats.eq(3)


def forgets_packets(m, half):
    m.d.sync += half.packets.eq(0)


def takes_always(m, half):
    m.d.comb += half.i.ready.eq(1)


def never_full(m, half):
    m.d.comb += half.full.eq(0)


@pytest.mark.parametrize("wrong", [long_bursts, forgets_packets, takes_always, never_full])
def test_wrong_writer_fails(wrong, monkeypatch):
    mutate(monkeypatch, dma.Writer, wrong)
    refuted(WriterProof(SMALL), 10)
