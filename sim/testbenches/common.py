"""What the testbenches share: their configuration, and operands as the array sees them."""

import json
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import asdict

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from ...hw.config import Accumulation, Config
from ...hw.formats import FORMATS, STEP_LOG2, Format
from ..golden import numbers

CONFIGURATION = "HEDDLE_CONFIG"
SEED = "HEDDLE_SEED"


def environment(config: Config, seed: int = 1) -> dict[str, str]:
    """The environment that tells a testbench what it tests."""
    fields = asdict(config) | {"format": config.format.name, "accumulation": config.accumulation}
    return {CONFIGURATION: json.dumps(fields), SEED: str(seed)}


def configuration() -> Config:
    """The configuration of the device under test."""
    fields = json.loads(os.environ[CONFIGURATION])
    fields["format"] = FORMATS[fields["format"]]
    fields["accumulation"] = Accumulation(fields["accumulation"])
    return Config(**fields)


def generator() -> np.random.Generator:
    """This run's random numbers; also seeds Python's own."""
    seed = int(os.environ[SEED])
    random.seed(seed)
    return np.random.default_rng(seed)


async def start(dut, *quiet: str):
    """Start the clock and reset the device, with the inputs named `quiet` at zero."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    for name in quiet:
        getattr(dut, name).value = 0
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


class Source:
    """Offers payloads to an input stream, one after another, with random pauses between them."""

    def __init__(self, dut, port: str, pause: float = 0.3):
        self.queue: deque[int] = deque()
        """What is still to be taken."""
        self.pause = pause
        """Probability that a cycle is a pause."""
        self._clock = dut.clk
        self._valid, self._ready, self._payload = _stream(dut, port)
        self._valid.value = 0
        cocotb.start_soon(self._run())

    async def _run(self):
        offered = False
        while True:
            await RisingEdge(self._clock)
            if offered and int(self._ready.value):
                self.queue.popleft()
                offered = False
            if not offered and self.queue and random.random() >= self.pause:
                offered = True
                self._payload.value = self.queue[0]
            self._valid.value = offered


class Sink:
    """Takes payloads from an output stream with random pauses; what waits must not change."""

    def __init__(
        self, dut, port: str, pause: float = 0.3, on_payload: Callable[[int], None] | None = None
    ):
        self.received: list[int] = []
        self.pause = pause
        """Probability that a cycle is a pause."""
        self._clock = dut.clk
        self._valid, self._ready, self._payload = _stream(dut, port)
        self._ready.value = 0
        self._on_payload = on_payload
        cocotb.start_soon(stable(dut.clk, self._valid, self._ready, self._payload))
        cocotb.start_soon(self._run())

    async def _run(self):
        ready = False
        while True:
            await RisingEdge(self._clock)
            if ready and int(self._valid.value):
                self.received.append(int(self._payload.value))
                if self._on_payload:
                    self._on_payload(self.received[-1])
            ready = random.random() >= self.pause
            self._ready.value = ready


def _stream(dut, port: str):
    return (getattr(dut, f"{port}__{part}") for part in ("valid", "ready", "payload"))


async def stable(clock, valid, ready, *payload):
    """What a stream offers stays as it is until it is taken (AMBA AXI4-Stream, section 2.2)."""
    waiting = None
    while True:
        await RisingEdge(clock)
        offered = [int(signal.value) for signal in payload] if int(valid.value) else None
        assert waiting is None or offered == waiting, f"{payload[0]._path} changed while it waited"
        waiting = None if int(ready.value) else offered


async def until(clock, done: Callable[[], bool], cycles: int, what: str):
    """Wait until `done`; a failure that says `what` did not happen after so many cycles."""
    for _ in range(cycles):
        if done():
            return
        await RisingEdge(clock)
    raise AssertionError(f"{what}: not within {cycles} cycles")


def one_of(rng: np.random.Generator, choices: list):
    return choices[rng.integers(len(choices))]


def random_elements(format: Format, rng: np.random.Generator, shape) -> np.ndarray:
    """Finite raw elements over the whole range, edges (zeros, subnormals, largest) included."""
    dtype = numbers.raw_dtype(format)
    codes = np.arange(1 << format.bits).astype(dtype)
    codes = codes[numbers.is_finite(format, codes)]
    magnitude = numbers.significands(format, codes)
    order = np.argsort(np.abs(magnitude), kind="stable")
    edges = codes[np.concatenate([order[:6], order[-4:]])]
    return np.where(rng.random(shape) < 0.2, rng.choice(edges, shape), rng.choice(codes, shape))


def operand_bits(format: Format, raw) -> int:
    """The packed bits of `layouts.operand` for one raw element, by the golden decode.

    Any split of the integer into value and step will do for the array; this one shifts out as
    many whole steps as leave the value exact.
    """
    dtype = numbers.raw_dtype(format)
    integer = int(numbers.significands(format, np.array([raw], dtype))[0])
    step = 0
    limit = 1 << (format.value_bits - 1)
    while not -limit <= integer < limit:
        assert integer % (1 << (1 << STEP_LOG2)) == 0
        integer >>= 1 << STEP_LOG2
        step += 1
    return (integer & ((1 << format.value_bits) - 1)) | step << format.value_bits


def signed_value(bits: int, width: int) -> int:
    """The integer that `width` two's complement bits mean."""
    return bits - (bits >> (width - 1) << width)


def join(values, width: int) -> int:
    """Fields of `width` bits, the first lowest."""
    word = 0
    for i, value in enumerate(values):
        word |= (int(value) & ((1 << width) - 1)) << (width * i)
    return word
