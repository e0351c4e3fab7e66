"""Proofs that descriptors wait for what they name, and that they can fail."""

import pytest

from heddle.hw.control import scoreboard
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.waits import WaitsProof

from .common import mutate, refuted


def test_waits():
    prove(WaitsProof, bounded=12, cover=20)


def never_holds(m, board):
    m.d.comb += board.hold.eq(0)


def always_holds(m, board):
    m.d.comb += board.hold.eq(1)


def waits_for_one_less(m, board):
    m.d.sync += [board.targets[n].target.eq(board.counts[n]) for n in range(3)]


def waits_for_nothing(m, board):
    m.d.sync += [board.targets[n].needed.eq(0) for n in range(3)]


def rests_too_early(m, board):
    m.d.sync += board.working[2].eq(board.issued[2])


@pytest.mark.parametrize(
    "wrong",
    [never_holds, always_holds, waits_for_one_less, waits_for_nothing, rests_too_early],
)
def test_wrong_scoreboard_fails(wrong, monkeypatch):
    mutate(monkeypatch, scoreboard.Scoreboard, wrong)
    refuted(WaitsProof(), 12)


def opens_always(m, gate):
    m.d.comb += gate.o.valid.eq(gate.queue.o.valid)


def never_opens(m, gate):
    m.d.comb += gate.o.valid.eq(0)


def tells_of_all(m, gate):
    m.d.comb += gate.late.eq(0x3F)


@pytest.mark.parametrize("wrong", [opens_always, never_opens, tells_of_all])
def test_wrong_gate_fails(wrong, monkeypatch):
    mutate(monkeypatch, scoreboard.Gate, wrong)
    refuted(WaitsProof(), 12)
