"""Proofs of the queue, and that they can fail."""

import pytest

from heddle.hw.lib import fifo
from heddle.sim.proofs.fifo import FifoProof
from heddle.sim.proofs.formal import prove

from .common import mutate, refuted


@pytest.fixture(params=["lut", "registered", "block"])
def make(request):
    latency = {"lut": 0, "registered": 1, "block": 2}[request.param]
    block_ram = 0 if request.param == "block" else fifo.BLOCK_RAM
    registered = request.param == "registered"
    return lambda: FifoProof(fifo.Fifo(4, 4, registered, block_ram), latency)


def test_fifo(make):
    prove(make, bounded=14, cover=14)


def test_fifo_with_wrong_payload_fails(make, monkeypatch):
    def wrong(m, fifo):
        m.d.comb += fifo.o.payload.eq(fifo.level)

    mutate(monkeypatch, fifo.Fifo, wrong)
    refuted(make(), 14)
