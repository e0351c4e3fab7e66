"""Proofs of the registers' bus, and that they can fail."""

import pytest

from heddle.hw.bus import axi_lite
from heddle.hw.config import preset
from heddle.sim.proofs.axi_lite import RegistersProof
from heddle.sim.proofs.formal import prove

from .common import mutate, refuted


def test_registers():
    prove(lambda: RegistersProof(preset("tiny")), bounded=3, induction=3, cover=8)


def drops_answer(m, bus):
    m.d.sync += bus.s_axil.bvalid.eq(bus.s_axil.awready)


def changes_data(m, bus):
    m.d.sync += bus.s_axil.rdata.eq(bus.s_axil.araddr)


@pytest.mark.parametrize("wrong", [drops_answer, changes_data])
def test_wrong_registers_fail(wrong, monkeypatch):
    mutate(monkeypatch, axi_lite.AxiLiteSlave, wrong)
    refuted(RegistersProof(preset("tiny")), 5)
