"""Whole networks as one program on the device, by the hardware's counters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...hw.config import Config, preset
from ...hw.formats import FP16, INT8
from ...hw.isa.codes import Opcode
from ...sw.host.device import Device
from ...sw.host.open import open_device
from ...sw.nn import data
from ...sw.nn.network import CONVOLUTIONS, SHIPPED, Network, golden
from ...sw.nn.programs import compiled
from ...sw.report import engines
from ...sw.transports.simulated import External, SimulatedTransport
from ..golden.device import ModelTransport
from .named import row, wanted

IMAGES = 16
ROOM = 1 << 14
"""Words of tensor memory: all weights of the dense network, and its activations."""
ROWS = (
    ("net.digits-mlp.16images", "small", FP16, 3.0),
    ("net.digits-mlp-int8.16images", "tiny", INT8, 3.2),
    ("net.digits-mlp.16images.medium", "medium", FP16, None),
)

CONVOLUTIONAL = (("net.digits-cnn", "medium", 1.05), ("net.digits-cnn.small", "small", None))
"""Prefix, preset, and how many times its products' cycles the whole may take."""
VECTOR_LANES = 8
OUTSIDE = ("net.digits-cnn", "small", 1.02)
"""Of a device with external memory: prefix, preset, and how many bytes may cross the host's link
for each byte of input and output."""
EXTERNAL_BITS = 20


def rows(only: str) -> Iterator[dict]:
    yield from _perceptrons(only)
    yield from _convolutions(only)
    yield from _outside(only)


class Watched:
    """A transport that counts what crosses it for the host's words of memories: the words, and all
    with the commands' and answers' headers."""

    def __init__(self, carrier: SimulatedTransport):
        self._carrier = carrier
        self.words = self.bytes = 0

    def __getattr__(self, name: str):
        return getattr(self._carrier, name)

    def exchange(self, packets: Sequence[bytes], on_response=None) -> list[bytes]:
        answers = self._carrier.exchange(packets, on_response)
        config = self._carrier.config
        header = config.header_beats * config.stream_bytes
        for packet, answer in zip(packets, answers, strict=True):
            if packet[0] in (Opcode.WRITE, Opcode.READ):
                self.bytes += len(packet) + len(answer)
                self.words += len(packet) + len(answer) - 2 * header
        return answers


def _outside(only: str) -> Iterator[dict]:
    """What the host sends and takes for a run of the network of convolutions, whose input and
    output lie in external memory as they are."""
    prefix, name, target = OUTSIDE
    what = "host_bytes_over_minimum"
    if not wanted(f"{prefix}.{what}", only):
        return
    network = Network.load(CONVOLUTIONS)
    config = preset(name, tensor_words=ROOM, vector_lanes=VECTOR_LANES, external_bits=EXTERNAL_BITS)
    images = data.load(network.data).first(IMAGES).test_x
    carrier = Watched(SimulatedTransport(config, external=External(latency=100)))
    with Device(carrier) as device, Device(ModelTransport(config)) as model:
        inside = compiled(network, replace(config, external_bits=0), IMAGES)
        inside.load(device)
        expected, resident = inside.run(device, images)
        program = compiled(network, config, IMAGES, channels=1)
        for each in (device, model):
            program.load(each)
        before = carrier.words, carrier.bytes
        scores, counters = program.run(device, images)
        assert np.array_equal(scores, expected), "not as from tensor memory"
        assert np.array_equal(scores, program.run(model, images)[0]), "not as the golden model"
        words, every = carrier.words - before[0], carrier.bytes - before[1]
    minimum = images.size * config.format.bits // 8 + scores.nbytes
    note = (
        f"{words:,} bytes for {minimum:,} of {IMAGES} images and their scores, {every:,} with "
        f"headers of commands and answers; {counters['cycles']:,} cycles on {name}, "
        f"{resident['cycles']:,} with the input in tensor memory"
    )
    yield row(prefix, what, words / minimum, target, note) | {"unit": "x", "better": "lower"}


def waited(config: Config, counters: dict[str, int]) -> str:
    """The causes of a program's waiting, the largest first."""
    causes = engines.of_counters(config, "", counters, {}).causes
    causes = {cause: cycles for cause, cycles in causes.items() if cause != engines.WORK}
    ordered = sorted((c for c in causes if causes[c]), key=lambda c: -causes[c])
    parts = ", ".join(f"{cause} {causes[cause]:,}" for cause in ordered)
    return f"{sum(causes.values()):,} from the first command on ({parts})"


def _convolutions(only: str) -> Iterator[dict]:
    for prefix, name, target in CONVOLUTIONAL:
        if not wanted(prefix, only):
            continue
        network = Network.load(CONVOLUTIONS)
        config = preset(name, tensor_words=ROOM, vector_lanes=VECTOR_LANES)
        images = data.load(network.data).first(IMAGES).test_x
        with open_device("sim", config=config) as opened, Device(ModelTransport(config)) as model:
            counted = []
            for dense in (True, False):
                program = compiled(network, config, IMAGES, dense)
                for device in (opened, model):
                    program.load(device)
                scores, counters = program.run(opened, images)
                expected, _ = program.run(model, images)
                assert np.array_equal(scores, expected), "not as the golden model has it"
                counted.append(counters)
            products = sum(_alone(network, opened, scores, program.raw(images)))
        dense, sparse = counted
        note = (
            f"{IMAGES} images: {sparse['cycles']:,} cycles on {name}; the array waited "
            f"{waited(config, sparse)}; its products alone {products:,}; dense {dense['cycles']:,}"
        )
        over = row(prefix, "over_products", sparse["cycles"] / products, target, note)
        yield over | {"unit": "x", "better": "lower"}
        yield row(prefix, "speedup", dense["cycles"] / sparse["cycles"], None, note)
        share = dense["macs"] / (config.macs_per_cycle * dense["cycles"])
        yield row(prefix, "dense_utilisation", share, None, "multiplications by zero not counted")


def _alone(network: Network, device: Device, scores: np.ndarray, raw: np.ndarray) -> list[int]:
    """Cycles of each layer's product by itself; what the layers make of `raw` one after another
    must be the `scores` of the whole."""
    results, cycles = {-1: raw}, []
    for number in range(len(network.layers)):
        taken = [results[source] for source in network.takes(number)]
        for pooling in (False, True):
            only = range(number, number + 1)
            program = compiled(network, device.config, IMAGES, layers=only, pooling=pooling)
            program.load(device)
            results[number], counters = program.run_raw(device, *taken)
            if not pooling:
                cycles.append(counters["cycles"])
    last = results[len(network.layers) - 1]
    assert np.array_equal(last.view("<f4"), scores), "layers differ from the whole"
    return cycles


def _perceptrons(only: str) -> Iterator[dict]:
    for prefix, name, format, target in ROWS:
        if not wanted(prefix, only):
            continue
        network = Network.load(SHIPPED[format])
        config = preset(name, tensor_words=ROOM)
        images = data.load(network.data).first(IMAGES).test_x
        expected = network.run(images, golden(config))[-1]
        counted = []
        with open_device("sim", config=config) as opened:
            for dense in (True, False):
                program = compiled(network, config, IMAGES, dense)
                program.load(opened)
                scores, counters = program.run(opened, images)
                assert np.array_equal(scores, expected), "not as the golden model has it"
                counted.append(counters)
        dense, sparse = counted
        work = sum(layer.weights.shape[0] * layer.weights.shape[1] for layer in network.layers)
        utilisation = IMAGES * work / (config.macs_per_cycle * dense["cycles"])
        note = (
            f"{sparse['cycles']:,} cycles on {name}; the array waited {waited(config, sparse)}; "
            f"dense {dense['cycles']:,}"
        )
        yield row(prefix, "speedup", dense["cycles"] / sparse["cycles"], target, note)
        yield row(prefix, "dense_utilisation", utilisation)
