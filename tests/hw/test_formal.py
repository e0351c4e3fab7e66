"""Proofs of the stream controllers, and that they can fail."""

import pytest

from hw import fifo
from sim.formal import ProofError, check
from sim.proofs.fifo import FifoProof


@pytest.fixture(params=["lut", "block"])
def make(request, monkeypatch):
    if request.param == "block":
        monkeypatch.setattr(fifo, "LARGEST_LUT_RAM", 0)
    return lambda: FifoProof(fifo.Fifo(4, 3), latency=int(request.param == "block"))


def test_fifo(make):
    check(make(), "bounded", 14)
    check(make(), "cover", 14)


def test_fifo_with_wrong_payload_fails(make, monkeypatch):
    def elaborate(self, platform, original=fifo.Fifo.elaborate):
        m = original(self, platform)
        m.d.comb += self.o.payload.eq(self.level)  # the last assignment holds
        return m

    monkeypatch.setattr(fifo.Fifo, "elaborate", elaborate)
    with pytest.raises(ProofError, match="Assert failed"):
        check(make(), "bounded", 14)
