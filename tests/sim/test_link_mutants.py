"""The testbenches of the serial line find what they are there to find: no fault survives them."""

import pytest

from heddle.hw.config import Config
from heddle.hw.formats import INT8
from heddle.hw.link.framing import Deframer, Framer
from heddle.hw.link.link import Link
from heddle.hw.link.uart import Receiver, Transmitter
from heddle.sim.testbenches import link as link_bench
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
        Link,
        (("crc == FCS_RESIDUE", "(crc == FCS_RESIDUE) | this"),),
    ),
    Mutant(
        "sequence number not checked",
        "requests",
        Link,
        (("head.sequence == following", "(head.sequence == following) | this"),),
    ),
    Mutant(
        "repeated request executed again",
        "refusals_keep_the_last_response",
        Link,
        (
            ("~hello & again", "~hello & again & ~this"),
            ("~hello & ~next_one", "~hello & ~next_one & ~(again & this)"),
        ),
    ),
    Mutant(
        "session not checked",
        "requests",
        Link,
        (("head.session == session", "(head.session == session) | this"),),
    ),
    Mutant(
        "length not checked",
        "every_size_of_frame",
        Link,
        (("body_end != size + 4", "(body_end != size + 4) & ~this"),),
    ),
    Mutant(
        "no watchdog",
        "frames_without_an_end",
        Link,
        (("silence == self.watchdog", "(silence == self.watchdog) & ~this"),),
    ),
    Mutant(
        "watchdog bites too early",
        "frames_without_an_end",
        Link,
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
        Link,
        (("m.Elif(~held)", "m.Elif(~held | this)"),),
    ),
    Mutant(
        "waits without end",
        "accelerator_that_stalls",
        Link,
        (("patience != PATIENCE - 1", "(patience != PATIENCE - 1) | this"),),
    ),
    Mutant(
        "waits for a register without end",
        "registers_that_are_silent",
        Link,
        (("unanswered = silent | ~patient", "unanswered = (silent | ~patient) & ~this"),),
    ),
    Mutant(
        "beat survives a reset",
        "accelerator_that_stalls",
        Link,
        (("(value & CONTROL_RESET).any()", "(value & CONTROL_RESET).any() & ~this"),),
    ),
    Mutant(
        "refusal replaces the kept response",
        "refusals_keep_the_last_response",
        Link,
        (
            (
                "end.eq(REJECT_AT)",
                "end.eq(Mux(this, 0, REJECT_AT))",
            ),
        ),
    ),
    Mutant(
        "refusal's length kept",
        "refusals_keep_the_last_response",
        Link,
        (("m.If(~rejected)", "m.If(~rejected | this)"),),
    ),
    Mutant(
        "overrun taken for a frame",
        "every_size_of_frame",
        Link,
        (("& ~length[STORE_LOG2] & ~deframer", "& (~length[STORE_LOG2] | this) & ~deframer"),),
    ),
    Mutant(
        "end of a packet forgotten",
        "requests",
        Link,
        (("beat_last.eq(fetch.data[0])", "beat_last.eq(fetch.data[0] & ~this)"),),
    ),
    Mutant(
        "beat taken twice from the accelerator",
        "requests",
        Link,
        (("accepted.eq(1)", "accepted.eq(~this | at[0])"),),
    ),
    Mutant(
        "one beat more than wanted",
        "requests",
        Link,
        (("(at == wanted)", "(at == wanted + this)"),),
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
