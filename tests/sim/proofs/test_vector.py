"""Proofs that the vector unit touches only the words that it names, and that they can fail."""

from dataclasses import replace

import pytest
from amaranth import Mux

from heddle.hw.vector import addresses, loader, writer
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.vector import AddressesProof, LoaderProof, WriterProof

from .common import TENSORS, mutate, refuted

VECTOR = replace(TENSORS, vector_lanes=2, lanes=2)


@pytest.mark.slow
def test_addresses():
    prove(lambda: AddressesProof(VECTOR), bounded=10, cover=12)


def test_loader():
    prove(lambda: LoaderProof(VECTOR), bounded=12, cover=12)


def test_writer():
    prove(lambda: WriterProof(VECTOR), bounded=6, cover=6)


def reaches_further(m, a):
    m.d.comb += a.o.payload.inside.eq(1)


def stays_in_line(m, a):
    m.d.comb += a.o.payload.lane.eq(0)


def ends_late(m, a):
    m.d.comb += a.o.payload.end.eq(0)


@pytest.mark.parametrize("wrong", [reaches_further, stays_in_line, ends_late])
def test_wrong_addresses_fail(wrong, monkeypatch):
    mutate(monkeypatch, addresses.Addresses, wrong)
    refuted(AddressesProof(VECTOR), 9)


def reads_anything(m, x):
    m.d.comb += x.port.valid.eq(x.groups.valid)


def takes_too_much(m, x):
    m.d.comb += x.groups.ready.eq(x.groups.valid & (x.port.ready | ~x.groups.payload.inside))


@pytest.mark.parametrize("wrong", [reads_anything, takes_too_much])
def test_wrong_loader_fails(wrong, monkeypatch):
    mutate(monkeypatch, loader.Loader, wrong)
    refuted(LoaderProof(VECTOR), 12)


def writes_without_leave(m, x):
    m.d.comb += x.port.enable.eq(Mux(x.groups.valid, -1, 0))


def goes_to_the_first(m, x):
    m.d.comb += x.port.address[0].eq(0)


@pytest.mark.parametrize("wrong", [writes_without_leave, goes_to_the_first])
def test_wrong_writer_fails(wrong, monkeypatch):
    mutate(monkeypatch, writer.Writer, wrong)
    refuted(WriterProof(VECTOR), 6)
