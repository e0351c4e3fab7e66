"""Proof that a command goes on to its one answer, and that it can fail."""

from dataclasses import replace

import pytest

from heddle.hw.control import sequencer, tensor_commands
from heddle.hw.isa.codes import Opcode
from heddle.sim.proofs.claims import during
from heddle.sim.proofs.formal import check, prove
from heddle.sim.proofs.sequencer_steps import SequencerSteps

from .common import COMPACT, INTERLEAVED, PAGED, SMALL, TENSORS, goes, mutate, no_longer_holds

SHARED = replace(SMALL, rows=4, columns=4, lanes=4, columns_per_epilogue=4)
"""With an epilogue for four columns, and headers of one beat."""


def test_sequencer_steps():
    prove(lambda: SequencerSteps(COMPACT), bounded=4, induction=4, cover=32)


@pytest.mark.parametrize(
    "config",
    [SMALL, INTERLEAVED, SHARED, PAGED, replace(PAGED, interleave=3)],
    ids=["T1", "T3", "shared", "paged", "paged-T3"],
)
def test_sequencer_steps_with_queues(config):
    # What is reached is reached as without them.
    check(SequencerSteps(config), "bounded", 4)
    check(SequencerSteps(config), "induction", 4)


def test_sequencer_steps_with_tensor_memory():
    prove(lambda: SequencerSteps(TENSORS), bounded=4, induction=4, cover=32)


def answers_twice(m, s):
    goes(m, s.fsm, "RESPOND", "RESPOND")


def never_answers_what_it_refuses(m, s):
    goes(m, s.fsm, "DISCARD", "HEADER", s.ended)


def answers_before_the_end(m, s):
    goes(m, s.fsm, "DISCARD", "RESPOND")


def turns_the_header_too_far(m, s):
    goes(m, s.fsm, "CHECK", "CHECK", s.halfwords == 15)


def runs_twice(m, s):
    goes(m, s.fsm, "EXECUTE", "EXECUTE", s.header[:8] == Opcode.RUN)


def runs_what_it_refuses(m, s):
    m.d.comb += s.queued.valid.eq(during(s.fsm, "EXECUTE") & (s.header[:8] == Opcode.RUN))


def goes_on_after_what_it_refuses(m, s):
    goes(m, s.fsm, "EXECUTE", "HEADER", ~s.ended)


def goes_on_after_the_end(m, s):
    goes(m, s.fsm, "EXECUTE", "HEADER")


def waits_for_nothing(m, s):
    goes(m, s.fsm, "JUDGE", "JUDGE")


def says_that_any_length_was_right(m, s):
    with m.If(during(s.fsm, "PAYLOAD")):
        m.d.sync += s.status.eq(0)


def writes_into_a_page_that_is_read(m, s):
    m.d.sync += s.page_busy.eq(0)


def sets_settings_that_are_read(m, s):
    m.d.sync += s.settings_busy.eq(0)


def looks_at_the_wrong_settings_page(m, s):
    m.d.sync += s.settings_busy.eq(s.interlock.busy.settings[0])


def waits_for_a_page_that_is_free(m, s):
    m.d.sync += s.page_busy.eq(1)


def syncs_early(m, s):
    goes(m, s.fsm, "EXECUTE", "RESPOND", s.ended & (s.header[:8] == Opcode.SYNC))


def forgets_its_answer(m, s):
    m.d.comb += s.responses.i.valid.eq(0)


def keeps_the_payload(m, s):
    m.d.comb += s.unpacker.i.valid.eq(0)


def says_that_any_words_were_right(m, s):
    with m.If(during(s.fsm, "PAYLOAD") & (s.header[:8] == Opcode.WRITE)):
        m.d.sync += s.status.eq(0)


def counts_reads_that_it_refuses(m, s):
    m.d.comb += s.responses.i.payload.memory.eq(s.header[:8] == Opcode.READ)


def reads_elsewhere(m, s):
    m.d.comb += s.responses.i.payload.address.eq(s.header[17:])


def moves_twice(m, s):
    goes(m, s.fsm, "EXECUTE", "EXECUTE", s.header[:8] == Opcode.ROWS)


@pytest.mark.parametrize(
    "wrong",
    [
        moves_twice,
        says_that_any_words_were_right,
        counts_reads_that_it_refuses,
        reads_elsewhere,
    ],
)
def test_wrong_words_fail(wrong, monkeypatch):
    mutate(monkeypatch, sequencer.Sequencer, wrong)
    no_longer_holds(SequencerSteps(TENSORS), 4)


def waits_for_nobody(m, tensors):
    m.d.comb += tensors.begun.eq(1)


def says_that_nothing_moves(m, tensors):
    m.d.comb += tensors.filling.eq(0)


def forgets_reads(m, tensors):
    m.d.sync += tensors.reads.eq(0)


@pytest.mark.parametrize("wrong", [waits_for_nobody, says_that_nothing_moves, forgets_reads])
def test_wrong_tensor_commands_fail(wrong, monkeypatch):
    mutate(monkeypatch, tensor_commands.TensorCommands, wrong)
    no_longer_holds(SequencerSteps(TENSORS), 4)


@pytest.mark.parametrize(
    "wrong",
    [
        answers_twice,
        never_answers_what_it_refuses,
        answers_before_the_end,
        goes_on_after_what_it_refuses,
        goes_on_after_the_end,
        runs_twice,
        runs_what_it_refuses,
        waits_for_nothing,
        says_that_any_length_was_right,
        writes_into_a_page_that_is_read,
        sets_settings_that_are_read,
        looks_at_the_wrong_settings_page,
        waits_for_a_page_that_is_free,
        syncs_early,
        forgets_its_answer,
        keeps_the_payload,
    ],
)
def test_wrong_sequencer_fails(wrong, monkeypatch):
    mutate(monkeypatch, sequencer.Sequencer, wrong)
    no_longer_holds(SequencerSteps(SMALL), 4)


def test_wrong_check_fails(monkeypatch):
    mutate(monkeypatch, sequencer.Sequencer, turns_the_header_too_far)
    no_longer_holds(SequencerSteps(COMPACT), 4)
