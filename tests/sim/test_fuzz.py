"""Whatever packets and bytes a device was sent, it answers each, and the next job has every bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heddle.hw.isa.codes import Opcode
from heddle.hw.isa.header import crc16
from heddle.hw.isa.link_protocol import Kind, encode
from heddle.sim.bench.link import CONFIG
from heddle.sim.engines.board import BoardPort
from heddle.sim.testbenches import traffic
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.report.cross_coverage import random_product
from heddle.sw.transports.serial_link import LinkTransport
from heddle.sw.transports.simulated import SimulatedTransport, Stalls

EXAMPLES = 60
LINK_EXAMPLES = 25
MANY = 3_000

# Each of the sixteen halfwords small, at an edge, or anything; the check made right.
halfwords = st.one_of(st.integers(0, 20), st.sampled_from([0xFF, 0x7FFF, 0x8000, 0xFFFF]))
fields = st.lists(st.one_of(halfwords, st.integers(0, 0xFFFF)), min_size=14, max_size=14)
opcodes = st.one_of(st.sampled_from(list(Opcode)), st.integers(0, 255))


def header(opcode: int, tag: int, values: list[int]) -> bytes:
    """A header of any content whose check is right."""
    body = bytes([opcode, tag]) + b"".join(value.to_bytes(2, "little") for value in values)
    return body + crc16(body).to_bytes(2, "little")


@st.composite
def damaged(draw) -> bytes:
    """A sensible command with some of its bytes changed, cut off or added."""
    packet = bytearray(commands(draw(st.integers(0, 1 << 32))))
    for at, value in draw(
        st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)
    ):
        packet[at % len(packet)] = value
    return bytes(packet[: draw(st.integers(1, 200))]) + draw(st.binary(max_size=40))


def commands(seed: int) -> bytes:
    return traffic.command(CONFIG, np.random.default_rng(seed))


packets = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=120),
        st.builds(header, opcodes, st.integers(0, 255), fields),
        st.builds(
            lambda head, payload: head + payload,
            st.builds(header, opcodes, st.integers(0, 255), fields),
            st.binary(max_size=200),
        ),
        st.integers(0, 1 << 32).map(commands),
        damaged(),
    ),
    max_size=12,
)


def works(device: Device, seed: int) -> None:
    """A job after a reset, which takes back what a RUN that does not finish has left."""
    device.reset()
    random_product(device, np.random.default_rng(seed), 2, (3, 20, 3), bias=np.ones(3))


def fuzz(sent: list[bytes], seed: int) -> None:
    stalls = Stalls(0.3, 0.3, seed)
    with Device(SimulatedTransport(CONFIG, stalls=stalls), CONFIG.name) as device:
        for answer in device.transport.exchange(sent):
            answer_of(CONFIG, answer)  # whole, and its check is right
        works(device, seed)


@settings(max_examples=EXAMPLES, deadline=None)
@given(packets, st.integers(1, 1000))
def test_the_device(sent, seed):
    fuzz(sent, seed)


@pytest.mark.slow
@settings(max_examples=MANY, deadline=None)
@given(packets, st.integers(1, 1000))
def test_the_device_often(sent, seed):
    fuzz(sent, seed)


# A whole HELLO is no noise: it begins another session, and the device rightly forgets this one.
whole = st.binary(max_size=60).filter(lambda content: content[:1] != bytes([Kind.HELLO]))
noise = st.lists(st.one_of(st.binary(max_size=60), whole.map(encode)), max_size=3)


def fuzz_link(before: list[bytes], sent: list[bytes], after: list[bytes], seed: int) -> None:
    line = BoardPort(CONFIG)

    def disturb(parts: list[bytes]) -> None:
        for part in parts:
            line.write(part)
            line.read(0)

    disturb(before)
    with Device(LinkTransport(line), CONFIG.name) as device:
        for answer in device.transport.exchange(sent):
            answer_of(CONFIG, answer)
        disturb(after)
        works(device, seed)


@settings(max_examples=LINK_EXAMPLES, deadline=None)
@given(noise, packets, noise, st.integers(1, 1000))
def test_the_device_behind_its_link(before, sent, after, seed):
    fuzz_link(before, sent, after, seed)


@pytest.mark.slow
@settings(max_examples=MANY, deadline=None)
@given(noise, packets, noise, st.integers(1, 1000))
def test_the_device_behind_its_link_often(before, sent, after, seed):
    fuzz_link(before, sent, after, seed)
