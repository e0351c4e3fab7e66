"""Proofs of the sequencer, and that they can fail."""

import pytest

from heddle.hw.control import sequencer
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.sequencer import SequencerProof

from .common import COMPACT, mutate, refuted


def test_sequencer():
    prove(lambda: SequencerProof(COMPACT), bounded=27, cover=40)


def answers_early(m, sequencer):
    m.d.comb += sequencer.response.valid.eq(sequencer.i.valid)


def forgets_tags(m, sequencer):
    m.d.comb += sequencer.response.payload.tag.eq(0)


def takes_beats_always(m, sequencer):
    m.d.comb += sequencer.i.ready.eq(1)


def repeats_runs(m, sequencer):
    m.d.comb += sequencer.run.valid.eq(sequencer.response.valid)


def never_answers(m, sequencer):
    m.d.comb += sequencer.response.valid.eq(0)


@pytest.mark.parametrize(
    "wrong", [answers_early, forgets_tags, takes_beats_always, repeats_runs, never_answers]
)
def test_wrong_sequencer_fails(wrong, monkeypatch):
    mutate(monkeypatch, sequencer.Sequencer, wrong)
    refuted(SequencerProof(COMPACT), 27)
