"""Both simulated transports carry packets and registers faithfully, against a loopback device."""

import os
import random

import pytest

from heddle.hw import verilog
from heddle.hw.config import Config, preset
from heddle.hw.formats import FP16, INT8
from heddle.hw.top import signature
from heddle.sim.engines.packets import Outbox
from heddle.sw.errors import DeviceError
from heddle.sw.transports.simulated import AmaranthTransport, SimulatedTransport, Stalls

from ..sim import waves
from ..sim.loopback import REGISTERS, Loopback

NARROW = Config("narrow", 8, 4, INT8)
WIDE = Config("wide", 8, 4, FP16, lanes=4)


def in_verilator(config, **options):
    text = verilog.convert(Loopback(config), verilog.TOP)
    return SimulatedTransport(config, text=text, **options)


def in_amaranth(config):
    return AmaranthTransport(config, Loopback(config))


@pytest.fixture(params=[in_verilator, in_amaranth])
def transport(request):
    device = request.param(NARROW)
    yield device
    device.close()


def random_packets(config, count, seed=1) -> list[bytes]:
    random.seed(seed)
    return [
        bytes([0]) + random.randbytes(random.randrange(5 * config.stream_bytes))
        for _ in range(count)
    ]


def answer(packet: bytes, config) -> bytes:
    padded = packet + bytes(-len(packet) % config.stream_bytes)
    return bytes(byte ^ 0xFF for byte in padded)


def test_packets_return_in_order(transport):
    packets = random_packets(NARROW, 30)
    reported = []
    assert transport.exchange(packets, reported.append) == [answer(p, NARROW) for p in packets]
    assert reported == sorted(reported) and reported[-1] == 30
    assert transport.exchange([]) == []
    assert transport.exchange(packets[:1]) == [answer(packets[0], NARROW)]


def test_registers(transport):
    random.seed(2)
    values = [random.getrandbits(32) for _ in range(REGISTERS)]
    for i, value in enumerate(values):
        transport.write_register(4 * i, value)
    transport.exchange([b"\0"])
    assert [transport.read_register(4 * i) for i in range(REGISTERS)] == values


def test_closed_device_says_so(transport):
    transport.close()
    transport.close()
    with pytest.raises(DeviceError, match="closed"):
        transport.exchange([b"\0"])


def test_hang_is_reported():
    device = in_verilator(NARROW)
    with pytest.raises(DeviceError, match="1 of 3 commands answered"):
        device.exchange([b"\0", b"\xff", b"\0"])


@pytest.mark.parametrize("config", [NARROW, WIDE, Config("widest", 8, 4, FP16, group=16, lanes=2)])
@pytest.mark.parametrize("stalls", [Stalls(0.6, 0.0, 1), Stalls(0.0, 0.7, 2), Stalls(0.3, 0.3, 3)])
def test_stalls_change_the_time_but_not_the_data(config, stalls):
    packets = random_packets(config, 200)
    device, undisturbed = in_verilator(config, stalls=stalls), in_verilator(config)
    assert device.exchange(packets) == undisturbed.exchange(packets)
    beats = Outbox(packets, config.stream_bytes).beats
    assert undisturbed.cycles < beats + 10
    assert device.cycles > beats / (1 - max(stalls.input, stalls.output)) * 0.9


def test_a_response_longer_than_the_buffer():
    packet = bytes(1) + random.randbytes(300_000)
    assert in_verilator(WIDE).exchange([packet]) == [answer(packet, WIDE)]


def traced(path) -> tuple[list[bytes], list[bytes], int]:
    """Packets, their answers and the cycles that it took, with a trace at `path`."""
    packets = random_packets(NARROW, 20)
    device = in_verilator(NARROW, trace=path)
    answers, cycles = device.exchange(packets), device.cycles
    device.close()
    return packets, answers, cycles


def as_beats(packets: list[bytes]) -> list[tuple[int, int]]:
    """Data and last, beat by beat."""
    width = NARROW.stream_bytes
    return [
        (int.from_bytes(packet[at : at + width], "little"), int(at + width >= len(packet)))
        for packet in packets
        for at in range(0, len(packet), width)
    ]


def test_a_vcd_shows_every_beat(tmp_path):
    path = tmp_path / "out.vcd"
    packets, answers, _ = traced(path)
    assert waves.beats(path, "s_axis") == as_beats(packets)
    assert waves.beats(path, "m_axis") == as_beats(answers)


def test_an_fst_has_every_signal_and_every_cycle(tmp_path):
    path = tmp_path / "out.fst"
    *_, cycles = traced(path)
    end, names, times = waves.fst(path)
    # The clock changes twice a cycle.
    assert end == 2 * cycles - 1
    assert sorted(set(times)) == list(range(2 * cycles))
    assert {"clk", "rst", *verilog.ports(signature(NARROW))} <= set(names)


def test_trace_names_must_say_their_format(tmp_path):
    with pytest.raises(DeviceError, match=r"an \.fst or a \.vcd file"):
        in_verilator(NARROW, trace=tmp_path / "out.wave")


def test_a_trace_that_cannot_be_written_is_refused_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("heddle.sw.transports.simulated.compiled", None)  # not even built
    (tmp_path / "folder.fst").mkdir()
    for name in ("missing/out.fst", "missing/out.vcd", "folder.fst"):
        with pytest.raises(DeviceError, match=f"cannot write the trace .*{name}: "):
            in_verilator(NARROW, trace=tmp_path / name)


@pytest.mark.parametrize("suffix", [".fst", ".vcd"])
def test_a_disk_that_fills_during_a_trace_is_said(tmp_path, suffix):
    """A limit on the size of files stands for the disk: writes fail in the same way."""
    resource = pytest.importorskip("resource")  # Python itself ignores the limit's signal
    device = in_verilator(NARROW, trace=tmp_path / f"out{suffix}")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    packets = random_packets(NARROW, 600)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        assert device.exchange(packets) == [answer(p, NARROW) for p in packets]
        with pytest.raises(DeviceError, match=rf"out\{suffix} is not complete: is its disk full"):
            device.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    device.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not copied here")
@pytest.mark.parametrize("suffix", [".fst", ".vcd"])
def test_a_forked_process_leaves_the_trace_alone(tmp_path, suffix):
    contents = []
    for forked in (False, True):
        path = tmp_path / f"out{suffix}"
        device = in_verilator(NARROW, trace=path)
        device.exchange(random_packets(NARROW, 20))
        if forked and os.fork() == 0:
            device.close()
            os._exit(0)
        device.exchange(random_packets(NARROW, 20))
        device.close()
        contents.append(path.read_bytes()[400:])  # without the date
    assert contents[0] == contents[1]


def test_amaranth_refuses_large_arrays():
    with pytest.raises(DeviceError, match="16 x 16 processing elements: too many"):
        AmaranthTransport(preset("medium"))


def test_without_a_compiler_the_error_helps(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(DeviceError, match=r"no C\+\+ compiler was found by that name"):
        in_verilator(NARROW)


def test_a_failed_build_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("HEDDLE_CACHE", str(tmp_path))
    with pytest.raises(DeviceError, match="building the simulator failed"):
        SimulatedTransport(NARROW, text="module heddle(input clk); nonsense endmodule")
    assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == []


@pytest.mark.parametrize("cycles", [1, 7])
def test_a_simulation_in_small_pieces(monkeypatch, cycles):
    """Beats that wait to be sent, and answers that are still to come, are waited for."""
    monkeypatch.setattr("heddle.sw.transports.simulated.SLICE", cycles)
    device = in_verilator(NARROW)
    packets = random_packets(NARROW, 12)
    assert device.exchange(packets) == [answer(p, NARROW) for p in packets]
    device.close()
