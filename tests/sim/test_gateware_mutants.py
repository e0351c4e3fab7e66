"""The testbenches of the core find what they are there to find: no fault survives them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import pytest

from heddle.hw.buffers.payload import PayloadUnpacker
from heddle.hw.config import Config
from heddle.hw.control.issuer import Issuer
from heddle.hw.control.judge import Judge
from heddle.hw.control.registers import Registers
from heddle.hw.control.response import ResponseWriter
from heddle.hw.control.sequencer import Sequencer
from heddle.hw.core import Core
from heddle.hw.formats import E5M2
from heddle.hw.lib.library import Library
from heddle.hw.output.epilogue import Epilogue
from heddle.hw.top import Accelerator
from heddle.sim.testbenches.common import environment
from heddle.sim.testbenches.issuer import ReaderAndIssuer
from heddle.sim.testbenches.response import Answers
from heddle.sim.testbenches.runner import TestbenchFailure, simulate

from .mutant_bench import MUTANT
from .mutants import Mutant, Mutated, build_in

SIZES = {"activation_groups": 32, "weight_slots": 64, "schedule_records": 32}
CONFIG = Config("mutants", 4, 6, E5M2, **SIZES)


@dataclass(frozen=True)
class Bench:
    """A testbench, what it tests, and the faults that its tests must find."""

    name: str
    component: Callable
    mutants: tuple[Mutant, ...]


BENCHES = [
    Bench(
        "reset",
        Accelerator,
        (
            Mutant(
                "sums survive a reset",
                "sums_do_not_survive",
                Issuer,
                (("self.last.eq(flush | ", "self.last.eq((flush & ~this) | "),),
            ),
            Mutant(
                "what comes as a reset begins is counted, and sets flags",
                "a_load_is_cut",
                Accelerator,
                (("Mux(registers.reset |", "Mux((registers.reset & ~this) |"),),
            ),
            Mutant(
                "what runs out during a reset is counted, and sets flags",
                "a_run_is_cut",
                Accelerator,
                ((" | reset, 0", " | (reset & ~this), 0"),),
            ),
        ),
    ),
    Bench(
        "counters",
        Accelerator,
        (
            Mutant(
                "waiting for room is not counted",
                "a_host_that_takes_nothing",
                Core,
                (("issuer.stall_output,", "issuer.stall_output & ~this,"),),
                method="_count",
            ),
        ),
    ),
    Bench(
        "sequencer",
        Sequencer,
        (
            Mutant(
                "a good record takes a bad one back",
                "a_bad_record_among_good_ones",
                PayloadUnpacker,
                (
                    (
                        " bad_schedule.eq(self.bad_schedule)",
                        " bad_schedule.eq(Mux(this, over_full, self.bad_schedule))",
                    ),
                ),
            ),
            Mutant(
                "a RUN's address before its fields",
                "two_faults_in_one_command",
                Judge,
                (('m.If(found["field"] |', 'm.If(~(this & found["run"]) & found["field"] |'),),
            ),
            Mutant(
                "a LOAD's address before its length",
                "two_faults_in_one_command",
                Judge,
                (("m.If(ended):", 'm.If(ended & ~(this & found["load"])):'),),
            ),
            Mutant(
                "rows counted in a halfword",
                "more_rows_than_a_halfword_counts",
                Sequencer,
                (("config.tile_rows))", "config.tile_rows) & Mux(this, 0xFFFF, 0xFFFFFFFF))"),),
            ),
        ),
    ),
    Bench(
        "registers",
        Registers,
        (
            Mutant(
                "a flag lost that is set in the cycle of its clearing",
                "flags_set_while_they_are_cleared",
                Registers,
                (
                    (
                        "flags.eq(self.events.flag_set)",
                        "flags.eq(Mux(this, 0, self.events.flag_set))",
                    ),
                ),
            ),
            Mutant(
                "strobe ignored",
                "strobes",
                Registers,
                (("& bus.write_strobes[0]", "& (bus.write_strobes[0] | this)"),),
            ),
        ),
    ),
    Bench(
        "long_response",
        Answers,
        (
            Mutant(
                "rows sent as a halfword counts them",
                "more_rows_than_a_halfword_counts",
                ResponseWriter,
                (
                    (
                        ".rows.eq(header[32:])",
                        ".rows.eq(header[32:] & Mux(this, 0xFFFF, 0xFFFFFFFF))",
                    ),
                ),
            ),
        ),
    ),
    Bench(
        "epilogue",
        Epilogue,
        (
            Mutant(
                "what is far out of range is not clipped",
                "rounds_once",
                Epilogue,
                (("(high >= 8)", "(high >= 8) & ~(this & (high >= 32) & (high < 60))"),),
            ),
        ),
    ),
    Bench(
        "issuer",
        ReaderAndIssuer,
        (
            Mutant(
                "waiting for room is not told",
                "waiting_has_its_cause",
                Issuer,
                (("self.stall_output.eq(", "self.stall_output.eq(~this & "),),
            ),
        ),
    ),
]
QUICK = ("a good record takes a bad one back",)
"""Those that every test run goes through."""


def each():
    for bench in BENCHES:
        for number, mutant in enumerate(bench.mutants, 1):
            marks = () if mutant.name in QUICK else pytest.mark.slow
            yield pytest.param(bench, number, id=mutant.name, marks=marks)


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.name)
def test_every_fault_has_its_place_and_its_test(bench, monkeypatch):
    """In the gateware as it is, and in the testbench."""
    build_in(monkeypatch, bench.mutants)
    tests = vars(import_module(f"heddle.sim.testbenches.{bench.name}"))
    assert all(mutant.killer in tests for mutant in bench.mutants)


@pytest.mark.parametrize(("bench", "number"), list(each()))
def test_a_fault_is_found(bench, number, monkeypatch):
    chosen = build_in(monkeypatch, bench.mutants)
    killer = bench.mutants[number - 1].killer

    def run(number: int):
        library = Library()
        whole = bench.component is Accelerator
        component = Accelerator(CONFIG, library) if whole else bench.component(CONFIG)
        simulate(
            Mutated(component, chosen),
            f"tests.sim.mutant_bench,heddle.sim.testbenches.{bench.name}",
            "mutated",
            {
                **environment(CONFIG),
                MUTANT: str(number),
                "COCOTB_TEST_FILTER": rf"choose|\.{killer}$",
            },
            library,
        )

    run(0)  # without a fault it passes
    with pytest.raises(TestbenchFailure, match=f"failed: {killer}") as failure:
        run(number)
    assert "AssertionError" in str(failure.value), "killed by chance"
