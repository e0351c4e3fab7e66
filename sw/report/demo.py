"""The main job: a trained N:M-sparse network, streamed to the accelerator, every bit compared."""

import math

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ...sim.golden.device import ModelTransport
from ..compiler.elements import bits
from ..host.device import Device
from ..nn import data as datasets
from ..nn import network as networks
from ..nn.network import Network
from .speed import gmacs, milliseconds

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:>3.0f} %"),
    TimeElapsedColumn(),
)
"""Of every progress bar here."""
COVERED = {
    "n": "N",
    "aligned": "K aligned",
    "overlapped": "drain overlap",
    "output": "output",
    "relu": "ReLU",
}
"""Dimensions of functional coverage, as the report calls them."""
STALLS = ("drain", "output", "schedule", "host")
"""What the array waited for, as the device counts it."""
UNCOUNTED = "This device has no counters (it is compact): cycles and gains are not measured."
MODELLED = "This device is the golden model itself: cycles are those of an array that never waits."


def run(
    network: Network,
    dataset: datasets.Dataset,
    device: Device,
    console: Console,
    clock_mhz: float | None = None,
) -> dict:
    """Classify the test images on `device`, dense and sparse, and compare with the golden model.

    "Dense" is the same network on the same array with every weight issued, zeros included.
    With a clock the report tells times and rates too (`_speed`). Returns the report: what was
    measured, as plain values for JSON.
    """
    network.check_fits(device.config)
    modelled = is_model(device)
    x, labels = dataset.test_x, dataset.test_y
    sparse, dense = [], []
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress:
        outputs = {}
        for name, stats in (("sparse", sparse), ("dense", dense)):
            task = progress.add_task(f"{called(modelled)}, {name}", total=len(network.layers))
            product = networks.hardware(
                device,
                stats,
                dense=name == "dense",
                on_progress=lambda i, part, t=task: progress.update(t, completed=i + part),
            )
            outputs[name] = network.run(x, product)
        task = progress.add_task("golden model", total=1)
        golden = network.run(x, networks.golden(device.config))
        progress.advance(task)

    mismatches = sum(
        int(np.count_nonzero(bits(a) != bits(b)))
        for run in outputs.values()
        for a, b in zip(run, golden, strict=True)
    )
    compared = sum(a.size for run in outputs.values() for a in run)
    layers = [
        _layer(i, layer, s, d)
        for i, (layer, s, d) in enumerate(zip(network.layers, sparse, dense, strict=True))
    ]
    return {
        "data": dataset.name,
        "images": len(x),
        "modelled": modelled,
        "configuration": device.config.describe(),
        "clock_mhz": clock_mhz,
        "layers": [row | _speed(row, clock_mhz) for row in layers],
        "total": _total(layers, device.config.macs_per_cycle, clock_mhz),
        "accuracy": {
            "hardware": networks.accuracy(outputs["sparse"][-1], labels),
            "golden": networks.accuracy(golden[-1], labels),
            "float32": networks.accuracy(network.float32(x), labels),
        },
        "compared": compared,
        "mismatches": mismatches,
        "training": network.notes,
    }


def is_model(device: Device) -> bool:
    """Whether the device is the golden model itself."""
    return isinstance(device.transport.carrier, ModelTransport)


def called(modelled: bool) -> str:
    """What a report calls the device that ran."""
    return "modelled device" if modelled else "hardware"


def _gain(dense: int, sparse: int) -> float | None:
    """How many times faster, by the device's counter; None if it has none."""
    return dense / sparse if sparse else None


def headline(row: dict) -> float | None:
    """The gain, to be told first; None if there is none, or it is beyond the ideal: then the dense
    run wasted cycles, and it is no gain of sparsity."""
    gain, ideal = row["speedup"], row["ideal"]
    return gain if gain is not None and ideal is not None and gain <= ideal else None


def _layer(number: int, layer, sparse, dense) -> dict:
    n, m = layer.weights.pattern or (layer.weights.group, layer.weights.group)
    return {
        "layer": number,
        "shape": list(sparse.shape),
        "pattern": f"{n}:{m}",
        "macs": sparse.useful_macs,
        "dense_macs": math.prod(sparse.shape),
        "dense": dense.cycles,
        "sparse": sparse.cycles,
        "dense_utilisation": dense.utilisation,
        "utilisation": sparse.utilisation,
        "speedup": _gain(dense.cycles, sparse.cycles),
        "ideal": m / n if n else None,
        "stalls": sparse.stalls,
        "causes": sparse.causes,
        "dense_causes": dense.causes,
        "packed_bytes": layer.weights.nbytes,
    }


def _total(layers: list[dict], array: int, clock_mhz: float | None) -> dict:
    """All layers as one."""
    total = {k: sum(row[k] for row in layers) for k in ("macs", "dense_macs", "dense", "sparse")}
    used = {"utilisation": ("macs", "sparse"), "dense_utilisation": ("dense_macs", "dense")}
    total |= {
        name: total[macs] / (array * total[cycles]) if total[cycles] else 0.0
        for name, (macs, cycles) in used.items()
    }
    total["speedup"] = _gain(total["dense"], total["sparse"])
    total["ideal"] = total["dense_macs"] / total["macs"] if total["macs"] else None
    total["headline"] = headline(total)
    return total | _speed(total, clock_mhz)


def _speed(row: dict, clock_mhz: float | None) -> dict:
    """Times and rates of a layer, or of all, at a clock; nothing if cycles were not counted.

    `gmacs` counts multiplications by kept weights, `equivalent_gmacs` all B x K x C of them: what
    a dense device would have to do to take as little time.
    """
    if not clock_mhz or not row["sparse"]:
        return {}
    return {
        "dense_ms": milliseconds(row["dense"], clock_mhz),
        "sparse_ms": milliseconds(row["sparse"], clock_mhz),
        "gmacs": gmacs(row["macs"], row["sparse"], clock_mhz),
        "equivalent_gmacs": gmacs(row["dense_macs"], row["sparse"], clock_mhz),
    }


def coverage(console: Console) -> dict:
    """Functional coverage of the hardware, measured now on small arrays: of products
    (`cross_coverage`), and of programs (`mover_coverage`), whose bins are `movers` in it.

    Raises `DeviceError` without a C++ compiler, `cross_coverage.Mismatch` if a result is wrong.
    """
    from . import cross_coverage, mover_coverage

    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("functional coverage", total=len(cross_coverage.CONFIGS))
        measured = cross_coverage.measure(lambda done: progress.update(task, completed=done))
        task = progress.add_task("coverage of programs", total=len(mover_coverage.CASES))
        movers = mover_coverage.measure(lambda done: progress.update(task, completed=done))
    summary, of_programs = measured.summary(), movers.summary()
    summary["missing"] += of_programs["missing"]
    return summary | {"movers": of_programs}
