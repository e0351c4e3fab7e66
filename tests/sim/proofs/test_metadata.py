"""Proofs of the metadata reader, and that they can fail."""

import pytest

from heddle.hw.control import metadata
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.metadata import MetadataReaderProof

from .common import SMALL, mutate, refuted


def test_metadata_reader():
    prove(lambda: MetadataReaderProof(SMALL), bounded=11, cover=20)


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
def test_wrong_metadata_reader_fails(wrong, monkeypatch):
    mutate(monkeypatch, metadata.MetadataReader, wrong)
    refuted(MetadataReaderProof(SMALL), 11)
