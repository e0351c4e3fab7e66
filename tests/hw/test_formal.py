"""Proofs of the stream controllers, and that they can fail."""

import pytest

from hw import axi_lite, fifo, pages
from hw.config import preset
from sim.formal import ProofError, check
from sim.proofs.axi_lite import RegistersProof
from sim.proofs.fifo import FifoProof
from sim.proofs.pages import PageGuardProof


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
        monkeypatch.setattr(fifo, "LARGEST_LUT_RAM", 0)
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


def test_page_guard(monkeypatch):
    check(PageGuardProof(), "bounded", 3)
    check(PageGuardProof(), "induction", 3)
    monkeypatch.setattr(pages, "MOST", 3)  # full in few cycles
    check(PageGuardProof(), "cover", 8)


def test_page_guard_that_is_never_full_fails(monkeypatch):
    def wrong(m, guard):
        m.d.comb += guard.full.eq(0)

    monkeypatch.setattr(pages, "MOST", 3)
    mutate(monkeypatch, pages.PageGuard, wrong)
    with pytest.raises(ProofError, match="Assert failed"):
        check(PageGuardProof(), "bounded", 8)


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
