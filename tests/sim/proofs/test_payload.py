"""Proofs of the payload unpacker, and that they can fail."""

import pytest

from heddle.hw.buffers import payload
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.payload import PayloadUnpackerProof

from .common import SMALL, mutate, refuted


def test_unpacker():
    prove(lambda: PayloadUnpackerProof(SMALL), bounded=14, induction=3, cover=22)


def always_ready(m, unpacker):
    m.d.comb += unpacker.i.ready.eq(1)


def one_chunk(m, unpacker):
    m.d.comb += unpacker.write.chunk.eq(0)


def never_done(m, unpacker):
    m.d.comb += unpacker.done.eq(0)


@pytest.mark.parametrize("wrong", [always_ready, one_chunk, never_done])
def test_wrong_unpacker_fails(wrong, monkeypatch):
    mutate(monkeypatch, payload.PayloadUnpacker, wrong)
    refuted(PayloadUnpackerProof(SMALL), 10)
