"""Proofs that dense weights are read and filled as they should be, and that they can fail."""

from dataclasses import replace

import pytest

from heddle.hw.formats import INT4
from heddle.hw.tensor import dense
from heddle.sim.proofs.dense import DiagonalReaderProof
from heddle.sim.proofs.formal import prove

from .common import TENSORS, mutate, refuted

TRAINING = replace(TENSORS, format=INT4, rows=8, columns=8, training=True)
DIAGONAL = replace(TRAINING, rows=8, columns=16, lanes=2)
"""Two lanes' rows in a cycle."""


@pytest.mark.parametrize("config", [TRAINING, DIAGONAL], ids=["lane", "lanes"])
def test_diagonal_reader(config):
    prove(lambda: DiagonalReaderProof(config), bounded=12, cover=20)


def trusts_its_words(m, reader):
    m.d.comb += reader.port.address[0].eq(reader.rows.payload.words.count)


def turns_the_other_way(m, reader):
    m.d.comb += reader.skewed.turn.eq(1)


def ends_with_each_window(m, reader):
    m.d.comb += reader.finished.eq(reader.write.valid)


@pytest.mark.parametrize("wrong", [trusts_its_words, turns_the_other_way, ends_with_each_window])
def test_wrong_reader_fails(wrong, monkeypatch):
    mutate(monkeypatch, dense.DiagonalReader, wrong)
    refuted(DiagonalReaderProof(DIAGONAL), 12)
