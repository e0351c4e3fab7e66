"""The main job: a trained N:M-sparse network, streamed to the accelerator, every bit compared."""

import json
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..sim.model import ModelTransport
from . import data as datasets
from . import files
from . import network as networks
from .device import Device
from .network import Network

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


def run(network: Network, dataset: datasets.Dataset, device: Device, console: Console) -> dict:
    """Classify the test images on `device`, dense and sparse, and compare with the golden model.

    "Dense" is the same network on the same array with every weight issued, zeros included.
    Returns the report: what was measured, as plain values for JSON.
    """
    network.check_fits(device.config)
    modelled = isinstance(device.transport, ModelTransport)
    x, labels = dataset.test_x, dataset.test_y
    sparse, dense = [], []
    with Progress(*COLUMNS, console=console) as progress:
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
        int(np.count_nonzero(a != b))
        for run in outputs.values()
        for a, b in zip(run, golden, strict=True)
    )
    compared = sum(a.size for run in outputs.values() for a in run)
    layers = [
        _layer(i, layer, s, d)
        for i, (layer, s, d) in enumerate(zip(network.layers, sparse, dense, strict=True))
    ]
    total_dense, total_sparse = (sum(row[k] for row in layers) for k in ("dense", "sparse"))
    return {
        "data": dataset.name,
        "images": len(x),
        "modelled": modelled,
        "configuration": device.config.describe(),
        "layers": layers,
        "total": {
            "dense": total_dense,
            "sparse": total_sparse,
            "speedup": _gain(total_dense, total_sparse),
        },
        "accuracy": {
            "hardware": networks.accuracy(outputs["sparse"][-1], labels),
            "golden": networks.accuracy(golden[-1], labels),
            "float32": networks.accuracy(network.float32(x), labels),
        },
        "compared": compared,
        "mismatches": mismatches,
        "training": network.notes,
    }


def called(modelled: bool) -> str:
    """What a report calls the device that ran."""
    return "modelled device" if modelled else "hardware"


def _gain(dense: int, sparse: int) -> float | None:
    """How many times faster, by the device's counter; None if it has none."""
    return dense / sparse if sparse else None


def _layer(number: int, layer, sparse, dense) -> dict:
    n, m = layer.weights.pattern or (layer.weights.group, layer.weights.group)
    return {
        "layer": number,
        "shape": list(sparse.shape),
        "pattern": f"{n}:{m}",
        "dense": dense.cycles,
        "sparse": sparse.cycles,
        "dense_utilisation": dense.utilisation,
        "utilisation": sparse.utilisation,
        "speedup": _gain(dense.cycles, sparse.cycles),
        "ideal": m / n if n else None,
        "stalls": sparse.stalls,
        "packed_bytes": layer.weights.nbytes,
    }


def coverage(console: Console) -> dict:
    """Functional coverage of the hardware, measured now on small arrays (`sim.crossing`).

    Raises `DeviceError` without a C++ compiler, `sim.crossing.Mismatch` if a product is wrong.
    """
    from ..sim import crossing

    with Progress(*COLUMNS, console=console) as progress:
        task = progress.add_task("functional coverage", total=len(crossing.CONFIGS))
        measured = crossing.measure(lambda done: progress.update(task, completed=done))
    return measured.summary()


def show_coverage(summary: dict, console: Console) -> None:
    """Functional coverage in the terminal: bins hit, and full values of each dimension."""
    table = Table(
        title=f"Functional coverage: {summary['hit']:,} of {summary['bins']:,} crossings, "
        f"{summary['products']:,} products"
    )
    for name in ("", "crossings", *COVERED.values()):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, row in summary["formats"].items():
        parts = (f"{row[field]['full']}/{row[field]['values']}" for field in COVERED)
        table.add_row(name, f"{row['hit']}/{row['bins']}", *parts)
    console.print(table)
    if summary["missing"]:
        console.print(f"[red]{len(summary['missing']):,} crossings were not seen[/red]")


def _cells(row: dict, counted: bool) -> dict[str, str]:
    """What the terminal shows of a layer, by column."""
    measured, waited = {}, {}
    if counted:
        measured = {
            "dense": f"{row['dense']:,}",
            "sparse": f"{row['sparse']:,}",
            "used": f"{row['utilisation']:.1%}",
            "gain": f"{row['speedup']:.2f}",
        }
        waited = {cause: f"{row['stalls'][cause]:,}" for cause in STALLS}
    return {
        "": str(row["layer"]),
        "B x K x C": "x".join(map(str, row["shape"])),
        "N:M": row["pattern"],
        **measured,
        "ideal": f"{row['ideal']:.2f}" if row["ideal"] else "–",
        **waited,
    }


def show(report: dict, console: Console) -> None:
    """The report in the terminal."""
    config, total = report["configuration"], report["total"]
    counted = total["speedup"] is not None
    title = (
        f"{report['data']}, {report['images']} images on {config['name']} "
        f"({config['rows']} x {config['columns']} {config['format']})"
    ) + (": cycles, and those waited" if counted else "")
    table = Table(
        title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False, min_width=len(title)
    )
    rows = [_cells(row, counted) for row in report["layers"]]
    for name in rows[0]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    if counted:
        sums = f"{total['dense']:,}", f"{total['sparse']:,}", "", f"{total['speedup']:.2f}"
        table.add_section()
        table.add_row("all", "", "", *sums)
    console.print(table)
    device = called(report["modelled"])
    if not counted:
        console.print(UNCOUNTED)
    elif report["modelled"]:
        console.print(MODELLED)
    else:
        console.print("Cycles from the first issue to the last output, by the hardware's counters.")
    a = report["accuracy"]
    console.print(
        f"Accuracy: {device} {a['hardware']:.2%}, golden model {a['golden']:.2%}, "
        f"float32 {a['float32']:.2%}"
    )
    if report["mismatches"]:
        console.print(
            f"[red]{report['mismatches']:,} of {report['compared']:,} outputs differ from the "
            "golden model[/red]"
        )
    else:
        console.print(
            f"[green]Bit-exact: all {report['compared']:,} outputs of {device} and golden model "
            "agree in every bit[/green]"
        )


def write(report: dict, folder: Path) -> tuple[Path, Path]:
    """``report.json`` and ``report.html`` in `folder`; returns their paths."""
    from . import report as page

    as_json, as_html = folder / "report.json", folder / "report.html"
    files.write(as_json, json.dumps(report, indent=2) + "\n")
    files.write(as_html, page.render(report))
    return as_json, as_html
