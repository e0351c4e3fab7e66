"""Proofs of what all masters on the AXI4 bus share, and that they can fail."""

import pytest

from heddle.hw.bus import arbiter, bursts
from heddle.sim.proofs.arbiter import ArbiterProof
from heddle.sim.proofs.bursts import CutterProof, ReadChannelProof, WriteChannelProof
from heddle.sim.proofs.formal import prove

from .common import SMALL, mutate, refuted


def test_cutter():
    prove(lambda: CutterProof(SMALL), bounded=9, cover=9)


def test_read_channel():
    prove(lambda: ReadChannelProof(SMALL), bounded=12, cover=14)


def test_write_channel():
    prove(lambda: WriteChannelProof(SMALL), bounded=10, cover=16)


def test_arbiter():
    prove(ArbiterProof, bounded=10, cover=12)


def never_ends(m, cutter):
    m.d.sync += cutter.bursts.payload.end.eq(0)


def takes_while_busy(m, cutter):
    m.d.comb += cutter.spans.ready.eq(1)


@pytest.mark.parametrize("wrong", [never_ends, takes_while_busy])
def test_wrong_cutter_fails(wrong, monkeypatch):
    mutate(monkeypatch, bursts.Cutter, wrong)
    refuted(CutterProof(SMALL), 9)


def asks_without_room(m, channel):
    m.d.comb += channel.bursts.ready.eq(~channel.m_axi.arvalid | channel.m_axi.arready)


def lets_the_memory_wait(m, channel):
    m.d.comb += channel.m_axi.rready.eq(channel.o.ready)


def hides_errors(m, channel):
    m.d.comb += channel.queue.i.payload.bad.eq(0)


@pytest.mark.parametrize("wrong", [asks_without_room, lets_the_memory_wait, hides_errors])
def test_wrong_read_channel_fails(wrong, monkeypatch):
    mutate(monkeypatch, bursts.ReadChannel, wrong)
    refuted(ReadChannelProof(SMALL), 12)


def writes_before_it_asks(m, channel):
    m.d.comb += [channel.lengths.i.valid.eq(channel.bursts.valid & channel.bursts.ready)]
    m.d.comb += channel.lengths.i.payload.eq(channel.bursts.payload.beats)


def ends_early(m, channel):
    m.d.comb += channel.ended.eq(channel.m_axi.bvalid)


def never_the_last(m, channel):
    m.d.comb += channel.m_axi.wlast.eq(0)


@pytest.mark.parametrize("wrong", [writes_before_it_asks, ends_early, never_the_last])
def test_wrong_write_channel_fails(wrong, monkeypatch):
    mutate(monkeypatch, bursts.WriteChannel, wrong)
    refuted(WriteChannelProof(SMALL), 10)


def answers_both(m, it):
    m.d.comb += [one.rvalid.eq(it.m_axi.rvalid) for one in it.masters]


def changes_its_mind(m, it):
    m.d.comb += it.m_axi.araddr.eq(it.masters[0].araddr)


def data_of_whom_it_likes(m, it):
    m.d.comb += it.m_axi.wdata.eq(it.masters[1].wdata)


def always_the_first(m, it):
    one, two = it.masters
    m.d.comb += [two.awready.eq(it.m_axi.awready & it.order.i.ready & ~one.awvalid)]


@pytest.mark.parametrize(
    "wrong", [answers_both, changes_its_mind, data_of_whom_it_likes, always_the_first]
)
def test_wrong_arbiter_fails(wrong, monkeypatch):
    mutate(monkeypatch, arbiter.AxiArbiter, wrong)
    refuted(ArbiterProof(), 10)
