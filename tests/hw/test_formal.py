"""Proofs of the stream controllers, and that they can fail."""

from dataclasses import replace

import pytest

from hw import axi_lite, dealer, fifo, issuer, pages, response, schedule
from hw.config import Config, preset
from hw.formats import INT8
from sim.formal import ProofError, check
from sim.proofs.axi_lite import RegistersProof
from sim.proofs.dealer import DealerProof
from sim.proofs.fifo import FifoProof
from sim.proofs.issuer import IssuerProof
from sim.proofs.pages import PageGuardProof
from sim.proofs.response import ResponseProof
from sim.proofs.schedule import ScheduleProof

SMALL = Config("proof", 2, 3, INT8, activation_groups=16, weight_slots=32, schedule_records=16)
INTERLEAVED = replace(SMALL, interleave=3)


def mutate(monkeypatch, component, change):
    """Let `change(module, component)` have the last word in what `component` elaborates to."""

    def elaborate(self, platform, original=component.elaborate):
        m = original(self, platform)
        change(m, self)
        return m

    monkeypatch.setattr(component, "elaborate", elaborate)


@pytest.fixture(params=["lut", "registered", "block"])
def make(request, monkeypatch):
    if request.param == "block":
        monkeypatch.setattr(fifo, "BLOCK_RAM", 0)
    latency = {"lut": 0, "registered": 1, "block": 2}[request.param]
    return lambda: FifoProof(fifo.Fifo(4, 4, request.param == "registered"), latency)


def test_fifo(make):
    check(make(), "bounded", 14)
    check(make(), "cover", 14)


def test_fifo_with_wrong_payload_fails(make, monkeypatch):
    def wrong(m, fifo):
        m.d.comb += fifo.o.payload.eq(fifo.level)

    mutate(monkeypatch, fifo.Fifo, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(make(), "bounded", 14)


def test_page_guard():
    for most in (3, 31):
        check(PageGuardProof(most), "bounded", 3)
        check(PageGuardProof(most), "induction", 3)
    check(PageGuardProof(3), "cover", 8)


def test_page_guard_that_is_never_full_fails(monkeypatch):
    def wrong(m, guard):
        m.d.comb += guard.full.eq(0)

    mutate(monkeypatch, pages.PageGuard, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(PageGuardProof(3), "bounded", 8)


def test_registers():
    check(RegistersProof(preset("tiny")), "bounded", 3)
    check(RegistersProof(preset("tiny")), "induction", 3)
    check(RegistersProof(preset("tiny")), "cover", 8)


def drops_answer(m, bus):
    m.d.sync += bus.s_axil_bvalid.eq(bus.s_axil_awready)


def changes_data(m, bus):
    m.d.sync += bus.s_axil_rdata.eq(bus.s_axil_araddr)


@pytest.mark.parametrize("wrong", [drops_answer, changes_data])
def test_wrong_registers_fail(wrong, monkeypatch):
    mutate(monkeypatch, axi_lite.AxiLiteSlave, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(RegistersProof(preset("tiny")), "bounded", 5)


def test_dealer():
    check(DealerProof(SMALL), "bounded", 14)
    check(DealerProof(SMALL), "cover", 22)


def always_ready(m, dealer):
    m.d.comb += dealer.i.ready.eq(1)


def one_chunk(m, dealer):
    m.d.comb += dealer.write.chunk.eq(0)


def never_done(m, dealer):
    m.d.comb += dealer.done.eq(0)


@pytest.mark.parametrize("wrong", [always_ready, one_chunk, never_done])
def test_wrong_dealer_fails(wrong, monkeypatch):
    mutate(monkeypatch, dealer.Dealer, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(DealerProof(SMALL), "bounded", 10)


@pytest.mark.parametrize("config", [SMALL, INTERLEAVED], ids=["T1", "T3"])
def test_issuer(config):
    check(IssuerProof(config, whole=False), "bounded", 3)
    check(IssuerProof(config, whole=False), "induction", 3)
    check(IssuerProof(config, whole=True), "bounded", 20)
    check(IssuerProof(config, whole=True), "cover", 20)


def forgets_the_drain(m, issuer):
    m.d.sync += [issuer.drain.eq(0), issuer.finished.eq(0)]


def forgets_the_rows(m, issuer):
    m.d.sync += issuer.room.eq(0)


def loads_always(m, issuer):
    m.d.comb += issuer.load.eq(issuer.records.valid)


def waits_for_ever(m, issuer):
    m.d.comb += [issuer.valid.eq(0), issuer.records.ready.eq(0)]


@pytest.mark.parametrize(
    "wrong", [forgets_the_drain, forgets_the_rows, loads_always, waits_for_ever]
)
def test_wrong_issuer_fails(wrong, monkeypatch):
    mutate(monkeypatch, issuer.Issuer, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(IssuerProof(INTERLEAVED, whole=True), "bounded", 20)


def test_schedule_reader():
    check(ScheduleProof(SMALL), "bounded", 11)
    check(ScheduleProof(SMALL), "cover", 20)


def reads_the_wrong_record(m, reader):
    m.d.comb += reader.bank.read_address.eq(0)


def forgets_skips(m, reader):
    m.d.comb += reader.records.payload.address.eq(0)


def takes_runs_always(m, reader):
    m.d.comb += reader.run.ready.eq(1)


def gives_nothing(m, reader):
    m.d.comb += reader.records.valid.eq(0)


@pytest.mark.parametrize(
    "wrong", [reads_the_wrong_record, forgets_skips, takes_runs_always, gives_nothing]
)
def test_wrong_schedule_reader_fails(wrong, monkeypatch):
    mutate(monkeypatch, schedule.ScheduleReader, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(ScheduleProof(SMALL), "bounded", 11)


def test_response_writer():
    check(ResponseProof(SMALL), "bounded", 28)
    check(ResponseProof(SMALL), "cover", 34)


def never_last(m, writer):
    m.d.comb += writer.queue.i.payload.beat.last.eq(0)


def takes_rows_early(m, writer):
    m.d.sync += writer.row_taken.eq(writer.o.ready)


def silent(m, writer):
    m.d.comb += writer.o.valid.eq(0)


@pytest.mark.parametrize("wrong", [never_last, takes_rows_early, silent])
def test_wrong_response_writer_fails(wrong, monkeypatch):
    mutate(monkeypatch, response.ResponseWriter, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(ResponseProof(SMALL), "bounded", 28)
