"""The transport of devices beside a memory, against the model of their DMA."""

import numpy as np
import pytest

from heddle.hw.config import preset
from heddle.hw.isa.codes import Status
from heddle.hw.isa.commands import Sync
from heddle.hw.isa.dma_registers import ADDRESS
from heddle.hw.isa.host_stream import packet_of
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.dma_model import DmaModel
from heddle.sw.compiler import nm, packing
from heddle.sw.errors import DeviceError
from heddle.sw.host.answers import answer_of
from heddle.sw.host.device import Device
from heddle.sw.transports import dma
from heddle.sw.transports.dma import DmaTransport, apart, buffer

CONFIG = preset("tiny")


def product(device, seed: int):
    rng = np.random.default_rng(seed)
    x, w = rng.integers(-128, 128, (20, 64)), rng.integers(-128, 128, (64, 12))
    weights = packing.pack(nm.prune(w, 2, 8), CONFIG.format, 2, 8)
    return device.matmul(x, weights)[0]


@pytest.mark.parametrize("size", [1 << 12, 1 << 16])
def test_products_through_memory_are_the_models(size):
    """Also in little memory, where commands come in batches and responses through many rooms."""
    device = Device(DmaTransport(DmaModel(CONFIG, size, seed=size)))
    assert device.config == Device(ModelTransport(CONFIG)).config
    for seed in range(3):
        expected = product(Device(ModelTransport(CONFIG)), seed)
        assert np.array_equal(product(device, seed), expected)
        device.reset()


def test_every_response_is_told():
    transport = DmaTransport(DmaModel(CONFIG, seed=5))
    packets = [bytes(8)] * 300
    told = []
    answers = transport.exchange(packets, told.append)
    assert answers == ModelTransport(CONFIG).exchange(packets)
    assert told == sorted(set(told)) and told[-1] == len(packets)


def test_memory_beyond_the_devices_addresses_is_refused():
    """40 bits of address: a TiB."""
    DmaTransport(DmaModel(CONFIG, 1 << 12, base=(1 << 40) - (1 << 12))).close()
    with pytest.raises(DeviceError, match="ends at 0x10000000008, beyond the 40 bits"):
        DmaTransport(DmaModel(CONFIG, 1 << 12, base=(1 << 40) - (1 << 12) + 8))


def test_packets_apart():
    packets = [b"abcdefgh" * n for n in (1, 3, 2)]
    joined = b"".join(p + (len(p) // 8).to_bytes(8, "little") for p in packets)
    assert apart(joined, 8) == packets
    assert buffer([b"x" * 9], 8) == b"\2" + bytes(7) + b"x" * 9 + bytes(7)
    with pytest.raises(DeviceError, match="damaged"):
        apart(joined[8:], 8)


class Broken(DmaModel):
    """One register tells something else."""

    wrong: tuple[str, int]

    def read_register(self, address):
        name, value = self.wrong
        return value if address == ADDRESS[name] else super().read_register(address)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("magic", 0xFFFFFFFF), "no Heddle device"),
        (("version", 9), "version 9, this driver's 2"),
        (("status", 4), "read from"),
        (("status", 8), "write to"),
    ],
)
def test_what_is_wrong_is_told(wrong, message):
    memory = Broken(CONFIG)
    memory.wrong = ("packets", 0)
    if wrong[0] == "status":
        transport = DmaTransport(memory)
        memory.wrong = wrong
        with pytest.raises(DeviceError, match=message):
            transport.exchange([bytes(8)])
    else:
        memory.wrong = wrong
        with pytest.raises(DeviceError, match=message):
            DmaTransport(memory)


def test_memory_that_is_not_there():
    memory = DmaModel(CONFIG)
    transport = DmaTransport(memory)
    memory.base += 1 << 20  # what the host believes
    with pytest.raises(DeviceError, match="could not read from its memory"):
        transport.exchange([bytes(8)])


def test_silence_ends_with_an_error(monkeypatch):
    monkeypatch.setattr(dma, "PAUSE", 0)
    memory = DmaModel(CONFIG)
    transport = DmaTransport(memory, timeout=0.05)
    memory.deaf = True
    with pytest.raises(DeviceError, match="stopped after 0 of 2 responses"):
        transport.exchange([bytes(8)] * 2)
    with pytest.raises(DeviceError, match="does not answer the device's DMA"):
        memory._to_read = [0]
        memory._control = lambda value: None
        transport.write_register(32, 4)


def test_more_responses_than_commands(monkeypatch):
    memory = DmaModel(CONFIG)
    right = memory._control

    def twice(value):
        """Each batch is read again when it has been read."""
        right(value)
        memory._to_read *= 2

    monkeypatch.setattr(memory, "_control", twice)
    with pytest.raises(DeviceError, match="answers nonsense, not one response to each command"):
        DmaTransport(memory).exchange([packet_of(CONFIG, Sync())] * 20)


def test_a_response_that_never_ends(monkeypatch):
    """Through rooms that are smaller than the largest response."""
    memory = DmaModel(CONFIG, size=8 * CONFIG.stream_bytes)
    right, rooms = memory._control, []

    def endless(value):
        rooms.append(value)
        assert len(rooms) < 100, "the host goes on for ever"
        right(value)
        memory._responses = [(bytes(CONFIG.stream_bytes), False)] * 50

    transport = DmaTransport(memory)
    monkeypatch.setattr(memory, "_control", endless)
    with pytest.raises(DeviceError, match="answers nonsense"):
        transport.exchange([bytes(CONFIG.stream_bytes)])


def test_responses_that_are_not_in_memory(monkeypatch):
    memory = DmaModel(CONFIG)
    monkeypatch.setattr(memory, "read", lambda offset, size: bytes(size))
    with pytest.raises(DeviceError, match="answers nonsense"):
        DmaTransport(memory).exchange([packet_of(CONFIG, Sync())])


def test_command_that_is_larger_than_the_memory():
    transport = DmaTransport(DmaModel(CONFIG, size=1 << 10))
    # Half of it is for commands: the beat that counts, and so many of the command.
    beat = CONFIG.stream_bytes
    largest = packet_of(CONFIG, Sync()).ljust((1 << 9) - beat, b"\0")
    (answered,) = transport.exchange([largest])
    # Behind the command comes what is none.
    assert answer_of(CONFIG, answered).status == Status.BAD_CHECK
    with pytest.raises(DeviceError, match="larger memory"):
        transport.exchange([largest + bytes(beat)])
    with pytest.raises(DeviceError, match="larger memory"):
        transport.exchange([bytes(2000)])
