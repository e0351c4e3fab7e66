"""Proofs of the response writer, and that they can fail."""

import pytest

from heddle.hw.control import response
from heddle.hw.output import row_reader
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.response import ResponseProof

from .common import SMALL, TENSORS, mutate, refuted


def test_response_writer():
    prove(lambda: ResponseProof(SMALL), bounded=15, cover=20)


def test_response_writer_with_tensor_memory():
    prove(lambda: ResponseProof(TENSORS), bounded=15, cover=20)


def never_last(m, writer):
    m.d.comb += writer.queue.i.payload.beat.last.eq(0)


def takes_rows_early(m, reader):
    m.d.sync += reader.row_taken.eq(reader.host.go)


def forgets_what_comes_next(m, writer):
    m.d.comb += writer.row.go_next.eq(1)


def silent(m, writer):
    m.d.comb += writer.o.valid.eq(0)


def keeps_no_word_waiting(m, writer):
    m.d.comb += writer.beats.ready.eq(1)


def asks_for_fewer_words(m, writer):
    m.d.comb += writer.words.payload.count.eq(writer.response.payload.rows - 1)


@pytest.mark.parametrize("wrong", [keeps_no_word_waiting, asks_for_fewer_words])
def test_wrong_words_fail(wrong, monkeypatch):
    mutate(monkeypatch, response.ResponseWriter, wrong)
    refuted(ResponseProof(TENSORS), 15)


@pytest.mark.parametrize("wrong", [never_last, forgets_what_comes_next, silent])
def test_wrong_response_writer_fails(wrong, monkeypatch):
    mutate(monkeypatch, response.ResponseWriter, wrong)
    refuted(ResponseProof(SMALL), 15)


def test_wrong_row_reader_fails(monkeypatch):
    mutate(monkeypatch, row_reader.RowReader, takes_rows_early)
    refuted(ResponseProof(SMALL), 15)
