"""A device that threads share, that is interrupted anywhere, closed, forked, or tells nonsense."""

import linecache
import os
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import heddle
from heddle.hw.config import Config
from heddle.hw.formats import INT8
from heddle.hw.isa.dma_registers import ADDRESS as DMA
from heddle.hw.isa.registers import ADDRESS
from heddle.sim.golden.device import ModelTransport
from heddle.sim.testbenches.dma_model import DmaModel
from heddle.sim.testbenches.link_model import ModelPort
from heddle.sw.errors import DeviceError
from heddle.sw.host.device import Device
from heddle.sw.transports.dma import DmaTransport
from heddle.sw.transports.guarded import GuardedTransport
from heddle.sw.transports.serial_link import LinkTransport
from heddle.sw.transports.simulated import AmaranthTransport, SimulatedTransport

CONFIG = Config("two", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)
KINDS = {
    "model": lambda: ModelTransport(CONFIG),
    "sim": lambda: SimulatedTransport(CONFIG),
    "amaranth": lambda: AmaranthTransport(CONFIG),
    "serial": lambda: LinkTransport(ModelPort(CONFIG), timeout=0.01),
    "memory": lambda: DmaTransport(DmaModel(CONFIG)),
}
QUICK = [kind for kind in KINDS if kind != "amaranth"]
HOST = ("sw/", "sim/engines/amaranth_simulator.py", "sim/engines/packets.py")
PACKAGE = Path(heddle.__file__).parent

X = np.random.default_rng(1).integers(-128, 128, (3, 16))
W = np.random.default_rng(2).integers(-128, 128, (16, 3))
SUMS = X @ W


def product(device) -> bool:
    """Whether the device's sums are NumPy's."""
    y, stats = device.matmul(X.astype(np.int8), packed())
    assert stats.counters["errors"] == 0
    return np.array_equal(y.view(np.float32), SUMS)


def packed():
    return heddle.pack(W, INT8)


@cache
def of_the_host(file: str) -> bool:
    return file.startswith(tuple(str(PACKAGE / part) for part in HOST))


class Interrupt:
    """Raises KeyboardInterrupt at the `at`th line that the host's own code executes.

    At a `with` the next line is taken: Python sees no signal between a body and its lock's release.
    """

    def __init__(self, at: int | None):
        self.at, self.lines = at, 0

    def __enter__(self):
        sys.settrace(self._called)
        return self

    def __exit__(self, *exception):
        sys.settrace(None)

    def _called(self, frame, event, argument):
        return self._line if of_the_host(frame.f_code.co_filename) else None

    def _line(self, frame, event, argument):
        if event == "line":
            self.lines += 1
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            if self.at and self.lines >= self.at and not line.lstrip().startswith("with "):
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._line


@pytest.mark.parametrize("kind", [*QUICK, pytest.param("amaranth", marks=pytest.mark.slow)])
def test_a_product_after_an_interrupt_anywhere(kind):
    """Also during the recovery from an interrupt before it."""
    with Device(KINDS[kind]()) as device:
        with Interrupt(None) as counted:
            assert product(device)
        assert counted.lines > 100
        # Elaboration takes half a second, interpreted cycles a few milliseconds.
        steps = {"amaranth": 2, "memory": 100}.get(kind, 20)
        for step in range(steps):
            try:
                with Interrupt(1 + step * counted.lines // steps):
                    product(device)
            except KeyboardInterrupt:
                pass
            else:
                assert step > 0
            if step % 3 == 0:
                with pytest.raises(KeyboardInterrupt), Interrupt(60 + step):
                    product(device)
            assert product(device), f"after line {step * counted.lines // steps}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_the_callback(kind):
    def stop(progress):
        raise ZeroDivisionError

    with Device(KINDS[kind]()) as device:
        with pytest.raises(ZeroDivisionError):
            device.matmul(X.astype(np.int8), packed(), on_progress=stop)
        assert product(device)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_device_says_so_on_every_use(kind):
    device = Device(KINDS[kind]())
    device.close()
    device.close()
    for use in (product, Device.counters, Device.flags, Device.clear, Device.reset):
        with pytest.raises(DeviceError, match="closed"):
            use(device)
    with pytest.raises(DeviceError, match="closed"):
        device.read("magic")


@pytest.mark.parametrize("kind", QUICK)
def test_threads_share_a_device(kind):
    """Each gets its own product, and what was counted for it."""
    with Device(KINDS[kind]()) as device:
        _, alone = device.matmul(X.astype(np.int8), packed())
        wrong = []

        def work():
            for _ in range(5):
                y, stats = device.matmul(X.astype(np.int8), packed())
                if not np.array_equal(y.view(np.float32), SUMS):
                    wrong.append("sums")
                if any(stats.counters[n] != alone.counters[n] for n in ("commands", "macs")):
                    wrong.append(stats.counters)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("kind", QUICK)
def test_closed_by_another_thread_in_the_middle(kind):
    device = Device(KINDS[kind]())
    begun, ends = threading.Event(), []

    def work():
        try:
            while True:
                device.matmul(X.astype(np.int8), packed(), on_progress=lambda _: begun.set())
        except DeviceError as error:
            ends.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    device.close()
    thread.join(60)
    assert len(ends) == 1 and "closed" in ends[0]


@pytest.mark.parametrize("kind", QUICK)
def test_progress_cannot_use_the_device_but_close_it(kind):
    device = Device(KINDS[kind]())
    with pytest.raises(DeviceError, match="in the middle of a product"):
        device.matmul(X.astype(np.int8), packed(), on_progress=lambda _: device.counters())
    assert product(device)
    with pytest.raises(DeviceError, match="closed"):
        device.matmul(X.astype(np.int8), packed(), on_progress=lambda _: device.close())
    with pytest.raises(DeviceError, match="closed"):
        product(device)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not copied here")
def test_a_forked_process_is_told_to_open_its_own():
    with Device(SimulatedTransport(CONFIG)) as device:
        child = os.fork()
        if child == 0:
            try:
                product(device)
            except DeviceError as error:
                device.close()
                os._exit(0 if "another process" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert product(device)


@pytest.mark.parametrize(
    ("register", "value", "words"),
    [
        ("array", 0, "rows must be from 1"),
        ("array", 2 | 0xFFFF << 16, "columns must be from 1"),
        ("format", 0xFF, "format 255 with accumulation"),
        ("format", 3 | 7 << 8 | 8 << 16 | 1 << 24, "accumulation 7 is not known"),
        ("format", 3 | 0 << 16 | 1 << 24, "group must be 4, 8 or 16"),
        ("format", 3 | 8 << 16 | 0 << 24, "interleave must be from 1"),
        ("stream", 0, "columns_per_epilogue|lanes"),
        ("activation_groups", 0xFFFFFFFF, "activation_groups must be"),
        ("weight_slots", 0, "weight_slots must be"),
        ("schedule_records", 17, "schedule_records must be"),
    ],
)
def test_a_device_that_tells_what_cannot_be(register, value, words):
    class Absurd(ModelTransport):
        closed = 0

        def read_register(self, address):
            return value if address == ADDRESS[register] else super().read_register(address)

        def close(self):
            self.closed += 1

    transport = Absurd(CONFIG)
    with pytest.raises(DeviceError, match=f"no device can be.*({words})"):
        Device(transport)
    assert transport.closed == 1


@pytest.mark.parametrize("bits", [0, 31, 33, 255])
def test_a_device_that_tells_of_another_accumulator(bits):
    class Absurd(ModelTransport):
        def read_register(self, address):
            read = super().read_register(address)
            return read & ~(0xFF << 16) | bits << 16 if address == ADDRESS["stream"] else read

    with pytest.raises(DeviceError, match="register stream is"):
        Device(Absurd(CONFIG))


@pytest.mark.parametrize("beat", [0, 7, 1024, 0xFFFF, 0xFFFFFFFF])
def test_absurd_beats(beat, monkeypatch):
    """By the serial link's greeting, by the DMA's register, and against the configuration."""

    class Absurd(DmaModel):
        def read_register(self, address):
            return beat if address == DMA["beat_bytes"] else super().read_register(address)

    with pytest.raises(DeviceError, match=f"beats of {beat} bytes, which no device has"):
        DmaTransport(Absurd(CONFIG))
    port = ModelPort(CONFIG)
    right = port.model._answer
    if beat <= 0xFFFF:
        monkeypatch.setattr(
            port.model,
            "_answer",
            lambda request, status=0, count=0, value=0, beats=b"": right(
                request, status, count, value & 0xFFFF | beat << 16, beats
            ),
        )
        with pytest.raises(DeviceError, match=f"beats of {beat} bytes, which no device has"):
            LinkTransport(port, timeout=0.01)
    transport = ModelTransport(CONFIG)
    monkeypatch.setattr(ModelTransport, "beat_bytes", beat)
    with pytest.raises(DeviceError, match=f"beats of {beat} bytes, not 8"):
        Device(transport)


def test_kinds_by_path():
    with pytest.raises(DeviceError, match="no port /dev/no-such-port"):
        heddle.open(Path("/dev/no-such-port"))
    with heddle.open(Path("model"), "tiny") as device:
        assert device.config == heddle.preset("tiny")


def test_a_close_ends_a_call_to_which_nobody_listens():
    class Carrier(ModelTransport):
        def exchange(self, packets, on_response=None):
            guarded.close()
            on_response(1)
            raise AssertionError("it went on")

    guarded = GuardedTransport(Carrier(CONFIG))
    with pytest.raises(DeviceError, match="closed"):
        guarded.exchange([b""])


def test_a_closed_device_closes_what_carries_it():
    closed = []

    class Carrier(ModelTransport):
        def close(self):
            closed.append("device")

    class Port(ModelPort):
        def close(self):
            closed.append("port")

    Device(Carrier(CONFIG)).close()
    Device(LinkTransport(Port(CONFIG), timeout=0.01)).close()
    assert closed == ["device", "port"]
