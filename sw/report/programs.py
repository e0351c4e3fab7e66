"""Networks as one program on a device: every bit compared, every layer's cycles counted."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import Progress

from ...sim.golden.device import ModelTransport
from ..compiler.elements import bits
from ..compiler.packing import PackedWeights
from ..errors import FormatError
from ..host.device import Device
from ..nn import data as datasets
from ..nn import network as networks
from ..nn.network import Network
from ..nn.programs import NetworkProgram, compiled
from . import demo
from .speed import milliseconds

BATCH = 8
"""Images that one run of a program takes."""


@dataclass
class Comparison:
    """Raw results of a device, held against those that it should have."""

    compared: int = 0
    mismatches: int = 0

    def __call__(self, got: np.ndarray, expected: np.ndarray) -> None:
        self.compared += expected.size
        self.mismatches += int(np.count_nonzero(got != expected))


def run(
    network: Network,
    dataset: datasets.Dataset,
    device: Device,
    console: Console,
    clock_mhz: float | None = None,
) -> dict:
    """Classify the test images on `device`, `BATCH` at a time, and compare with the golden model.

    Then every layer runs alone on the first batch: its product sparse and dense ("dense" issues
    every weight, zeros included), and with what it does beside its product. Returns the report:
    what was measured, as plain values for JSON. Raises `FormatError` if the device cannot run the
    network.
    """
    config = device.config
    channels = _channels(network, dataset.test_x.shape[1])
    program = compiled(network, config, BATCH, channels=channels)
    modelled = demo.is_model(device)
    comparison = Comparison()
    batches = _batches(dataset.test_x)
    with (
        Device(ModelTransport(config), config.name) as model,
        Progress(*demo.COLUMNS, console=console, disable=not console.is_terminal) as progress,
    ):
        golden, _ = _whole(model, program, batches, _bar(progress, "golden model", len(batches)))
        bar = _bar(progress, f"{demo.called(modelled)}, whole program", len(batches))
        scores, cycles = _whole(device, program, batches, bar)
        bar = _bar(progress, f"{demo.called(modelled)}, layers alone", len(network.layers))
        layers = _layers(network, device, model, program, batches[0], comparison, bar)
    golden, scores = golden[: len(dataset.test_x)], scores[: len(dataset.test_x)]
    comparison(bits(scores), bits(golden))
    labels = dataset.test_y
    return {
        "data": dataset.name,
        "images": len(labels),
        "modelled": modelled,
        "configuration": config.describe(),
        "clock_mhz": clock_mhz,
        "layers": layers,
        "whole": _summary(layers, cycles, config.macs_per_cycle, clock_mhz),
        "accuracy": {
            "hardware": networks.accuracy(scores, labels),
            "golden": networks.accuracy(golden, labels),
            "float32": networks.accuracy(network.float32(dataset.test_x), labels),
        },
        "compared": comparison.compared,
        "mismatches": comparison.mismatches,
        "training": network.notes,
    }


def _bar(progress: Progress, what: str, total: int) -> Callable[[], None]:
    """Moves a new progress bar by one of `total`."""
    task = progress.add_task(what, total=total)
    return lambda: progress.advance(task)


def _batches(x: np.ndarray) -> list[np.ndarray]:
    """The images, `BATCH` at a time; the last ones are followed by zeros."""
    x = np.pad(x, ((0, -len(x) % BATCH), (0, 0)))
    return [x[at : at + BATCH] for at in range(0, len(x), BATCH)]


def _whole(
    device: Device, program: NetworkProgram, batches: list[np.ndarray], done: Callable[[], None]
) -> tuple[np.ndarray, list[int]]:
    """Scores of all images, and the cycles of each batch."""
    program.load(device)
    scores, cycles = [], []
    for batch in batches:
        result, counters = program.run(device, batch)
        scores.append(result)
        cycles.append(counters["cycles"])
        done()
    return np.concatenate(scores), cycles


def _layers(
    network: Network,
    device: Device,
    model: Device,
    program: NetworkProgram,
    x: np.ndarray,
    comparison: Comparison,
    done: Callable[[], None],
) -> list[dict]:
    """Every layer alone; it takes what the model made of the images `x` in the layers before."""
    rows, results, pixels = [], {-1: program.raw(x)}, x.shape[1]
    for number, layer in enumerate(network.layers):
        taken = [results[source] for source in network.takes(number)]

        def alone(
            on: Device, dense: bool = False, pooling: bool = False, number=number, taken=taken
        ) -> tuple[np.ndarray, dict[str, int]]:
            layers = range(number, number + 1)
            channels = _channels(network, pixels)
            made = compiled(network, on.config, BATCH, dense, layers, pooling, channels)
            made.load(on)
            return made.run_raw(on, *taken)

        product, _ = alone(model)
        pools = layer.stage.pool > 1
        results[number] = alone(model, pooling=True)[0] if pools else product
        got, sparse = alone(device)
        comparison(got, product)
        try:
            got, dense = alone(device, dense=True)
            comparison(got, product)
        except FormatError:  # every weight of this layer is more than the memory holds
            dense = None
        whole = None
        if pools:
            got, whole = alone(device, pooling=True)
            comparison(got, results[number])
        if demo.is_model(device):
            whole = None  # it counts no cycles of the vector unit
        shape = product.shape[0], _inputs(network, number, pixels), product.shape[1]
        rows.append(
            {"layer": number}
            | _product(layer.weights, shape, device.config.macs_per_cycle, sparse, dense)
            | {"vector": whole and whole["cycles"] - sparse["cycles"]}
        )
        done()
    return rows


def _inputs(network: Network, number: int, pixels: int) -> int:
    """What an output of a layer is made of, without the channels that only fill a group; the first
    layer takes so many numbers for an image."""
    stage, channels = network.layers[number].stage, _channels(network, pixels)
    if number:
        channels = network.layers[number - 1].weights.shape[1]
    return stage.kernel.taps * channels


def _channels(network: Network, pixels: int) -> int:
    """Of the images that the first layer takes, which are so many numbers each."""
    stage = network.layers[0].stage
    return pixels // (stage.height * stage.width)


def _product(
    weights: PackedWeights,
    shape: tuple[int, int, int],
    array: int,
    sparse: dict[str, int],
    dense: dict[str, int] | None,
) -> dict:
    """A layer's product of so many rows, inputs and outputs, by the device's counters."""
    macs, dense_macs = shape[0] * len(weights.values), math.prod(shape)
    row = {
        "shape": list(shape),
        "pattern": ":".join(map(str, weights.pattern)) if weights.pattern else None,
        "macs": macs,
        "dense_macs": dense_macs,
        "dense": dense and dense["cycles"],
        "sparse": sparse["cycles"],
        "dense_utilisation": dense and dense_macs / (array * dense["cycles"]),
        "utilisation": macs / (array * sparse["cycles"]),
        "speedup": dense and dense["cycles"] / sparse["cycles"],
        "ideal": dense_macs / macs if macs else None,
        "stalls": {cause: sparse[f"stall_{cause}"] for cause in demo.STALLS},
    }
    return row | {"headline": demo.headline(row)}


def _summary(layers: list[dict], cycles: list[int], array: int, clock_mhz: float | None) -> dict:
    """The whole program, by the cycles of each batch: the first one's beside the layers' own."""
    products = sum(row["sparse"] for row in layers)
    summary = {
        "batch": BATCH,
        "batch_cycles": cycles[0],
        "cycles": sum(cycles),
        "products": products,
        "over_products": cycles[0] / products,
        "utilisation": sum(row["macs"] for row in layers) / (array * cycles[0]),
    }
    if clock_mhz:
        batch_ms = milliseconds(cycles[0], clock_mhz)
        summary |= {"batch_ms": batch_ms, "images_per_second": 1000 * BATCH / batch_ms}
    return summary
