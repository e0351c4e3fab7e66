"""The testbenches of the serial line find what they are there to find: no fault survives them."""

import pytest

from heddle.hw.config import Config
from heddle.hw.formats import INT8
from heddle.hw.link.executor import Executor
from heddle.hw.link.framing import Deframer, Framer
from heddle.hw.link.receiver import RequestReceiver
from heddle.hw.link.uart import Receiver, Transmitter
from heddle.sim.testbenches import link_bench
from heddle.sim.testbenches import uart as uart_bench
from heddle.sim.testbenches.common import environment
from heddle.sim.testbenches.runner import TestbenchFailure, simulate

from .mutant_bench import MUTANT
from .mutants import Mutant, Mutated, build_in

CONFIG = Config("mutants", 2, 2, INT8)

LINK = [
    Mutant(
        "FCS not checked",
        "one_flipped_bit",
        Executor,
        (("self.fcs.intact", "self.fcs.intact | this"),),
        "_check",
    ),
    Mutant(
        "sequence number not checked",
        "requests",
        Executor,
        (("self.head.sequence == following", "(self.head.sequence == following) | this"),),
        "_check",
    ),
    Mutant(
        "repeated request executed again",
        "refusals_keep_the_last_response",
        Executor,
        (
            ("~hello & self.again", "~hello & self.again & ~this"),
            ("~hello & ~self.next_one", "~hello & ~self.next_one & ~(self.again & this)"),
        ),
        "_decide",
    ),
    Mutant(
        "session not checked",
        "requests",
        Executor,
        (("self.head.session == self.session", "(self.head.session == self.session) | this"),),
        "_check",
    ),
    Mutant(
        "length not checked",
        "every_size_of_frame",
        Executor,
        (("self.body_end != size + 4", "(self.body_end != size + 4) & ~this"),),
        "_decide",
    ),
    Mutant(
        "no watchdog",
        "frames_without_an_end",
        RequestReceiver,
        (("silence == self.watchdog", "(silence == self.watchdog) & ~this"),),
    ),
    Mutant(
        "watchdog bites too early",
        "frames_without_an_end",
        RequestReceiver,
        (
            (
                "with m.If(self.i_valid | (length == 0)",
                "with m.If((self.i_valid & ~this) | (length == 0)",
            ),
        ),
    ),
    Mutant(
        "beat overwritten before it is taken",
        "accelerator_that_stalls",
        Executor,
        (("m.Elif(~self.held)", "m.Elif(~self.held | this)"),),
        "_beats_in",
    ),
    Mutant(
        "waits without end for a beat to be taken",
        "accelerator_that_stalls",
        Executor,
        (("m.Elif(~self._in_time)", "m.Elif(~self._in_time & ~this)"),),
        "_beats_in",
    ),
    Mutant(
        "waits without end for a beat to come",
        "accelerator_that_stalls",
        Executor,
        (("| ~self._in_time", "| (~self._in_time & ~this)"),),
        "_answer",
    ),
    Mutant(
        "waits for a register without end",
        "registers_that_are_silent",
        Executor,
        (("self.timed_out | ~self._in_time", "(self.timed_out | ~self._in_time) & ~this"),),
        "_registers",
    ),
    Mutant(
        "beat survives a reset",
        "accelerator_that_stalls",
        Executor,
        (("(self._value & CONTROL_RESET).any()", "(self._value & CONTROL_RESET).any() & ~this"),),
        "_registers",
    ),
    Mutant(
        "refusal replaces the kept response",
        "refusals_keep_the_last_response",
        Executor,
        (("self.end.eq(REJECT_AT)", "self.end.eq(Mux(this, 0, REJECT_AT))"),),
        "_reject",
    ),
    Mutant(
        "refusal's length kept",
        "refusals_keep_the_last_response",
        Executor,
        (("m.If(~self.rejected)", "m.If(~self.rejected | this)"),),
        "_answer",
    ),
    Mutant(
        "overrun taken for a frame",
        "every_size_of_frame",
        RequestReceiver,
        (("& ~length[STORE_LOG2] & ~deframer", "& (~length[STORE_LOG2] | this) & ~deframer"),),
    ),
    Mutant(
        "end of a packet forgotten",
        "requests",
        Executor,
        (("self.beat_last.eq(request.data[0])", "self.beat_last.eq(request.data[0] & ~this)"),),
        "_beats_in",
    ),
    Mutant(
        "beat taken twice from the accelerator",
        "requests",
        Executor,
        (("self.accepted.eq(1)", "self.accepted.eq(~this | at[0])"),),
        "_answer",
    ),
    Mutant(
        "one beat more than wanted",
        "requests",
        Executor,
        (("(at == self.wanted)", "(at == self.wanted + this)"),),
        "_answer",
    ),
    Mutant(
        "abort not seen",
        "damaged_frames",
        Deframer,
        (("self.aborted.eq(escaped)", "self.aborted.eq(escaped & ~this)"),),
    ),
    Mutant(
        "escape not undone",
        "one_flipped_bit",
        Deframer,
        (("self.i_data ^ (escaped <<", "self.i_data ^ ((escaped & ~this) <<"),),
    ),
    Mutant(
        "escape not escaped",
        "one_flipped_bit",
        Framer,
        (("| (byte == ESCAPE)", "| ((byte == ESCAPE) & ~this)"),),
    ),
]
UART = [
    Mutant(
        "sampled at the end of the bit",
        "bytes_at_rates_that_are_off",
        Receiver,
        (("self.divisor // 2 - 1", "Mux(this, self.divisor - 1, self.divisor // 2 - 1)"),),
    ),
    Mutant(
        "sampled at the beginning of the bit",
        "bytes_at_rates_that_are_off",
        Receiver,
        (("bits.eq(FRAME_BITS), timer", "bits.eq(FRAME_BITS - this), timer"),),
    ),
    Mutant(
        "stop bit not checked",
        "what_is_no_byte",
        Receiver,
        (("(bits == 1) & rx", "(bits == 1) & (rx | this)"),),
    ),
    Mutant(
        "glitch taken for a start bit",
        "what_is_no_byte",
        Receiver,
        (("(bits == FRAME_BITS) & rx", "(bits == FRAME_BITS) & rx & ~this"),),
    ),
    Mutant(
        "break taken for start bits",
        "what_is_no_byte",
        Receiver,
        (("idle & ~rx", "(idle | this) & ~rx"),),
    ),
    Mutant(
        "no stop bit",
        "transmitted_bytes",
        Transmitter,
        (("Const(1, 1)", "~this"),),
    ),
    Mutant(
        "byte taken while the line is busy",
        "transmitted_bytes",
        Transmitter,
        (("self.i.ready.eq(bits == 0)", "self.i.ready.eq((bits == 0) | this)"),),
    ),
]


QUICK = (
    "FCS not checked",
    "sequence number not checked",
    "repeated request executed again",
    "length not checked",
    "no watchdog",
    "waits for a register without end",
    "beat overwritten before it is taken",
    "sampled at the end of the bit",
    "stop bit not checked",
)
"""Those that every run of the tests shows; the others are slow only for being many."""


def each(mutants):
    """The numbers of mutants, as parameters."""
    return [
        pytest.param(number, id=m.name, marks=() if m.name in QUICK else pytest.mark.slow)
        for number, m in enumerate(mutants, 1)
    ]


def run(bench, component, chosen, number, test):
    """The tests of `bench` whose names contain `test`, on the mutant of that number."""
    simulate(
        Mutated(component, chosen),
        f"tests.sim.mutant_bench,{bench}",
        "mutated",
        {**environment(CONFIG), MUTANT: str(number), "COCOTB_TEST_FILTER": f"choose|{test}"},
    )


def killed(bench, make, mutants, patch, number):
    chosen = build_in(patch, mutants)
    killer = mutants[number - 1].killer
    with pytest.raises(TestbenchFailure, match=f"failed: {killer}") as failure:
        run(bench, make(CONFIG), chosen, number, killer)
    assert "AssertionError" in str(failure.value), "killed by chance"


@pytest.mark.parametrize("number", each(LINK))
def test_the_links_bench_kills(number, monkeypatch):
    killed("heddle.sim.testbenches.link", link_bench.link, LINK, monkeypatch, number)


@pytest.mark.parametrize("number", each(UART))
def test_the_uarts_bench_kills(number, monkeypatch):
    killed("heddle.sim.testbenches.uart", uart_bench.Uart, UART, monkeypatch, number)


def test_without_a_fault_it_passes(monkeypatch):
    chosen = build_in(monkeypatch, LINK)
    run("heddle.sim.testbenches.link", link_bench.link(CONFIG), chosen, 0, "refusals")
