"""What the tests of proofs share: small configurations, and mutants that proofs must refute."""

from dataclasses import replace

import pytest

from heddle.hw.config import Config
from heddle.hw.formats import INT8
from heddle.sim.proofs.claims import during
from heddle.sim.proofs.formal import ProofError, check

SMALL = Config("proof", 2, 3, INT8, activation_groups=16, weight_slots=32, schedule_records=16)
INTERLEAVED = replace(SMALL, interleave=3)
PAGED = replace(SMALL, settings_pages=4)
TENSORS = replace(SMALL, tensor_words=64)
"""With a tensor memory."""
COMPACT = replace(SMALL, compact=True)
"""Without queues, which have a proof of their own."""


def mutate(monkeypatch, component, change):
    """Let `change(module, component)` have the last word in what `component` elaborates to."""

    def elaborate(self, platform, original=component.elaborate):
        m = original(self, platform)
        change(m, self)
        return m

    monkeypatch.setattr(component, "elaborate", elaborate)


def goes(m, fsm, state: str, to: str, when=1):
    """For `change`: in `state`, `when` this holds, the next state is `to`."""
    with m.If(during(fsm, state) & when):
        m.d.sync += fsm.state.eq(fsm.encoding[to])


def refuted(proof, depth: int):
    """The proof finds what is wrong within `depth` cycles."""
    with pytest.raises(ProofError, match="Assert failed"):
        check(proof, "bounded", depth)


def no_longer_holds(proof, depth: int):
    """The claims no longer follow from themselves: for what goes wrong long after the start."""
    with pytest.raises(ProofError, match="Temporal induction failed"):
        check(proof, "induction", depth)
