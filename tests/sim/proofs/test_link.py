"""Proof of the link, and that it can fail."""

from dataclasses import replace

import pytest
from amaranth import Mux

from heddle.hw.isa.link_protocol import TIMEOUT
from heddle.hw.link.executor import Executor
from heddle.hw.link.link import Link
from heddle.hw.link.receiver import RequestReceiver
from heddle.hw.link.responder import Responder
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


def waits_for_a_register(m, s):
    with m.If(during(s.fsm, "READ")):
        m.d.sync += s.waited.eq(0)


def waits_for_a_beat(m, s):
    with m.If(during(s.fsm, "OUTPUT") & ~s.m_axis.tvalid):
        m.d.sync += s.waited.eq(0)


def keeps_half_a_frame(m, receiver):
    with m.If(~receiver.o.pending & ~receiver.i_valid):
        m.d.sync += receiver.o.length.eq(receiver.o.length)


def trusts_every_frame(m, s):
    m.d.sync += s.intact.eq(1)


def executes_a_repeat(m, s):
    m.d.sync += s.next_one.eq(1)


def refuses_over_what_is_kept(m, s):
    with m.If(s.rejected & during(s.fsm, "HEAD")):
        m.d.comb += s.chosen.address.eq(s.at)


def sends_one_byte_less(m, responder):
    early = during(responder.fsm, "SEND") & (responder.at + 1 == responder.i.end)
    goes(m, responder.fsm, "SEND", "IDLE", early)
    with m.If(early):
        m.d.comb += responder.i.sent.eq(1)


def never_says_that_it_ends(m, responder):
    m.d.comb += responder.framer.i.payload.last.eq(0)


def offers_another_byte(m, responder):
    m.d.comb += responder.framer.i.payload.data.eq(responder.at)


def keeps_a_byte_in_the_wrong_place(m, s):
    m.d.comb += s.chosen.address.eq(s.end ^ 1)


def sends_nothing(m, dut):
    m.d.comb += dut.o.valid.eq(0)


def sends_without_being_asked(m, responder):
    goes(m, responder.fsm, "IDLE", "FETCH")


def checks_a_part(m, s):
    m.d.comb += s.chosen.counts.eq(s.at > 5)


def checks_the_last_one_too(m, s):
    m.d.comb += s.fcs.clear.eq(during(s.fsm, "HEAD"))


def signs_with_nothing(m, s):
    with m.If(during(s.fsm, "FCS")):
        m.d.comb += s.chosen.byte.eq(0)


def reads_the_head_too_late(m, s):
    with m.If(during(s.fsm, "CHECK") & (s.at == 1)):
        m.d.sync += s.head.eq(s.head)


def forgets_what_it_granted(m, s):
    goes(m, s.fsm, "READ", "IDLE")


def says_ok_without_asking(m, s):
    with m.If(s.timed_out):
        m.d.sync += s.head.status.eq(0)


def asks_again(m, s):
    m.d.sync += s.address_sent.eq(0)


def asks_what_timed_out(m, s):
    m.d.sync += s.timed_out.eq(0)


def drops_a_beat(m, s):
    with m.If(s.waited == TIMEOUT - 1):
        m.d.sync += s.held.eq(0)


def counts_one_more(m, s):
    with m.If(during(s.fsm, "BYTES")):
        m.d.sync += s.head.count.eq(s.head.count + 1)


def takes_without_writing(m, s):
    with m.If(during(s.fsm, "OUTPUT") & s.m_axis.tvalid & (s.byte == 1)):
        m.d.comb += s.chosen.written.eq(0)


def takes_twice(m, s):
    m.d.sync += s.accepted.eq(Mux(during(s.fsm, "FCS"), s.m_axis.tvalid, s.accepted))


@pytest.mark.parametrize(
    "part, wrong",
    [
        (Executor, waits_for_a_register),
        (Executor, waits_for_a_beat),
        (RequestReceiver, keeps_half_a_frame),
        (Executor, trusts_every_frame),
        (Executor, executes_a_repeat),
        (Executor, refuses_over_what_is_kept),
        (Responder, sends_one_byte_less),
        (Responder, never_says_that_it_ends),
        (Responder, offers_another_byte),
        (Responder, sends_without_being_asked),
        (Executor, keeps_a_byte_in_the_wrong_place),
        (Link, sends_nothing),
        (Executor, checks_a_part),
        (Executor, checks_the_last_one_too),
        (Executor, signs_with_nothing),
        (Executor, reads_the_head_too_late),
        (Executor, forgets_what_it_granted),
        (Executor, says_ok_without_asking),
        (Executor, asks_again),
        (Executor, asks_what_timed_out),
        (Executor, drops_a_beat),
        (Executor, counts_one_more),
        (Executor, takes_without_writing),
        (Executor, takes_twice),
    ],
)
def test_wrong_link_fails(part, wrong, monkeypatch):
    mutate(monkeypatch, part, wrong)
    no_longer_holds(LinkProof(SMALL), 6)
