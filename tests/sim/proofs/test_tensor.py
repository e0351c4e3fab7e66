"""Proofs of tensor memory, and that they can fail."""

from dataclasses import replace

import pytest

from heddle.hw.formats import INT4
from heddle.hw.tensor import beats, memory, share
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.tensor import BeatReaderProof, PortShareProof, TensorMemoryProof

from .common import TENSORS, mutate, refuted

NARROW = replace(TENSORS, format=INT4)
"""With words of few bits."""
DEALT = replace(NARROW, lanes=2, columns=2)


def test_tensor_memory():
    prove(lambda: TensorMemoryProof(DEALT), bounded=5, cover=5)


def test_beat_reader():
    prove(lambda: BeatReaderProof(NARROW), bounded=16, cover=16)


def test_port_share():
    prove(lambda: PortShareProof(NARROW), bounded=12, cover=12)


def forgets_whose_turn_it_is(m, share):
    first = share.readers[0].valid
    m.d.comb += [
        share.readers[0].ready.eq(share.port.ready & first),
        share.readers[1].ready.eq(share.port.ready & ~first),
        share.port.address.eq(share.readers[0].address),
    ]


def answers_both(m, share):
    m.d.comb += [reader.there.eq(share.port.there) for reader in share.readers]


@pytest.mark.parametrize("wrong", [forgets_whose_turn_it_is, answers_both])
def test_wrong_share_fails(wrong, monkeypatch):
    mutate(monkeypatch, share.PortShare, wrong)
    refuted(PortShareProof(NARROW), 12)


def always_the_first(m, store):
    m.d.comb += [store.reads[0].ready.eq(1), store.reads[1].ready.eq(~store.reads[0].valid)]


def both_at_once(m, store):
    m.d.comb += [port.ready.eq(1) for port in store.reads]


def the_other_half(m, store):
    m.d.sync += store.reads[0].data.eq(store.reads[1].data)


@pytest.mark.parametrize("wrong", [always_the_first, both_at_once, the_other_half])
def test_wrong_memory_fails(wrong, monkeypatch):
    mutate(monkeypatch, memory.TensorMemory, wrong)
    refuted(TensorMemoryProof(DEALT), 7)


def counts_no_room(m, reader):
    m.d.sync += reader.room.eq(reader.queue.depth)


def never_last(m, reader):
    m.d.comb += reader.queue.i.payload.last.eq(0)


def asks_twice(m, reader):
    m.d.comb += reader.port.valid.eq(reader.room != 0)


@pytest.mark.parametrize("wrong", [counts_no_room, never_last, asks_twice])
def test_wrong_reader_fails(wrong, monkeypatch):
    mutate(monkeypatch, beats.BeatReader, wrong)
    refuted(BeatReaderProof(NARROW), 16)
