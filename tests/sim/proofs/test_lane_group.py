"""Proofs of the lane group's queues, and that they can fail."""

from dataclasses import replace

import pytest

from heddle.hw.output import lane_group
from heddle.sim.proofs.formal import prove
from heddle.sim.proofs.lane_group import ROOM, LaneGroupProof

from .common import SMALL, mutate, refuted

PAIR = replace(SMALL, columns=2, columns_per_epilogue=2)


@pytest.mark.slow
def test_lane_group():
    prove(lambda: LaneGroupProof(PAIR, ROOM), bounded=17, cover=24)


def test_less_room_is_refuted():
    """The proof fills all the room that there is."""
    refuted(LaneGroupProof(PAIR, ROOM - 1), 17)


def drops_a_sum(m, group):
    m.d.comb += m.submodules.queue_1.o.ready.eq(1)


def mixes_columns(m, group):
    m.d.comb += group.row[1].eq(group.row[0])


def forgets_ends(m, group):
    m.d.comb += group.release.valid.eq(0)


def stops(m, group):
    m.d.sync += group.row_there.eq(0)


@pytest.mark.parametrize("wrong", [drops_a_sum, mixes_columns, forgets_ends, stops])
def test_wrong_lane_group_fails(wrong, monkeypatch):
    mutate(monkeypatch, lane_group.LaneGroup, wrong)
    refuted(LaneGroupProof(PAIR, ROOM), 17)
