"""Proof of the link, and that it can fail."""

from dataclasses import replace

import pytest
from amaranth import Mux

from heddle.hw.link import link
from heddle.sim.proofs.claims import during
from heddle.sim.proofs.formal import check, prove
from heddle.sim.proofs.link import LinkProof

from .common import SMALL, goes, mutate, no_longer_holds

WIDE = replace(SMALL, lanes=2 * SMALL.lanes)


def test_link():
    prove(lambda: LinkProof(SMALL), bounded=6, induction=6, cover=29)


def test_link_of_wide_beats():
    # What is reached does not depend on their width, and takes long to be found.
    check(LinkProof(WIDE), "bounded", 6)
    check(LinkProof(WIDE), "induction", 6)


def waits_for_a_register(m, s, dut):
    with m.If(during(s.fsm, "READ")):
        m.d.sync += s.patience.eq(0)


def waits_for_a_beat(m, s, dut):
    with m.If(during(s.fsm, "OUTPUT") & ~dut.m_axis.tvalid):
        m.d.sync += s.patience.eq(0)


def keeps_half_a_frame(m, s, dut):
    with m.If(~s.pending & ~dut.i_valid):
        m.d.sync += s.length.eq(s.length)


def trusts_every_frame(m, s, dut):
    m.d.sync += s.intact.eq(1)


def executes_a_repeat(m, s, dut):
    m.d.sync += s.next_one.eq(1)


def refuses_over_what_is_kept(m, s, dut):
    with m.If(s.rejected & during(s.fsm, "HEAD")):
        m.d.comb += s.chosen.address.eq(s.at)


def sends_one_byte_less(m, s, dut):
    goes(m, s.fsm, "SEND", "IDLE", s.at + 1 == s.end)


def never_says_that_it_ends(m, s, dut):
    m.d.comb += s.framer.i.payload.last.eq(0)


def offers_another_byte(m, s, dut):
    m.d.comb += s.framer.i.payload.data.eq(s.length)


def keeps_a_byte_in_the_wrong_place(m, s, dut):
    m.d.comb += s.chosen.address.eq(s.end ^ 1)


def sends_nothing(m, s, dut):
    m.d.comb += dut.o.valid.eq(0)


def checks_a_part(m, s, dut):
    m.d.comb += s.chosen.counts.eq(s.at > 5)


def checks_the_last_one_too(m, s, dut):
    with m.If(during(s.fsm, "IDLE")):
        m.d.sync += s.crc.eq(s.crc)


def signs_with_nothing(m, s, dut):
    with m.If(during(s.fsm, "FCS")):
        m.d.comb += s.chosen.byte.eq(0)


def reads_the_head_too_late(m, s, dut):
    with m.If(during(s.fsm, "CHECK") & (s.at == 1)):
        m.d.sync += s.head.eq(s.head)


def forgets_what_it_granted(m, s, dut):
    goes(m, s.fsm, "READ", "IDLE")


def says_ok_without_asking(m, s, dut):
    with m.If(s.silent):
        m.d.sync += s.head.status.eq(0)


def asks_again(m, s, dut):
    m.d.sync += s.address_sent.eq(0)


def asks_the_silent(m, s, dut):
    m.d.sync += s.silent.eq(0)


def drops_a_beat(m, s, dut):
    with m.If(~s.patient):
        m.d.sync += s.held.eq(0)


def counts_one_more(m, s, dut):
    with m.If(during(s.fsm, "BYTES")):
        m.d.sync += s.head.count.eq(s.head.count + 1)


def takes_without_writing(m, s, dut):
    with m.If(during(s.fsm, "OUTPUT") & dut.m_axis.tvalid & (s.byte == 1)):
        m.d.comb += s.chosen.written.eq(0)


def takes_twice(m, s, dut):
    m.d.sync += s.accepted.eq(Mux(during(s.fsm, "FCS"), dut.m_axis.tvalid, s.accepted))


@pytest.mark.parametrize(
    "wrong",
    [
        waits_for_a_register,
        waits_for_a_beat,
        keeps_half_a_frame,
        trusts_every_frame,
        executes_a_repeat,
        refuses_over_what_is_kept,
        sends_one_byte_less,
        never_says_that_it_ends,
        offers_another_byte,
        keeps_a_byte_in_the_wrong_place,
        sends_nothing,
        checks_a_part,
        checks_the_last_one_too,
        signs_with_nothing,
        reads_the_head_too_late,
        forgets_what_it_granted,
        says_ok_without_asking,
        asks_again,
        asks_the_silent,
        drops_a_beat,
        counts_one_more,
        takes_without_writing,
        takes_twice,
    ],
)
def test_wrong_link_fails(wrong, monkeypatch):
    mutate(monkeypatch, link.Link, lambda m, dut: wrong(m, dut.inside, dut))
    no_longer_holds(LinkProof(SMALL), 6)
