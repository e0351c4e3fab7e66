"""The commands that run networks: `heddle demo` and `heddle run`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .. import data as datasets
from .. import demo
from .. import device as devices
from ..network import Network, shipped
from . import options, paths
from .app import Family, family
from .screen import console

command = family(Family.RUNNING)


def _classify(
    path: Path | None,
    images: int | None,
    kind: str,
    preset_name: str,
    trace: Path | None,
    folder: Path,
    cover: bool = False,
    baud: int | None = None,
    data_folder: Path | None = None,
) -> None:
    """Run the network at `path`, or the one that ships in the device's format."""
    named = Network.load(path) if path else None
    paths.folder(folder)  # now: it would be a pity after the run
    simulated = "building the simulated accelerator (once for each configuration)"
    with console.status(f"opening {escape(kind)}" if devices.is_port(kind) else simulated):
        device = devices.open(kind, preset_name, trace=trace, **options.rate(kind, baud))
    with device:
        network = named or Network.load(shipped(device.config.format))
        dataset = datasets.load(network.data, data_folder).first(images)
        report = demo.run(network, dataset, device, console)
    demo.show(report, console)
    if cover:
        report["coverage"] = demo.coverage(console)
        demo.show_coverage(report["coverage"], console)
    for path in demo.write(report, folder):
        console.print(f"wrote {path}")
    if report["mismatches"] or (cover and report["coverage"]["missing"]):
        raise typer.Exit(1)


@command("demo")
def demo_(
    preset: options.Preset = "small",
    images: options.Images = None,
    trace: options.Trace = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/sim"),
    coverage: Annotated[bool, typer.Option(help="Measure functional coverage too.")] = True,
):
    """The main job: the network that ships with Heddle through the simulated accelerator.

    Builds the simulator (once), streams the compact weights, classifies the test images, compares
    every output with the golden model, measures functional coverage on small arrays, and writes
    report.json and report.html.
    """
    from ...sim import verilator

    cover = coverage and verilator.available()
    if coverage and not cover:
        console.print("Functional coverage is not measured: it needs a C++ compiler.")
    _classify(None, images, "sim", preset, trace, out, cover)


@command()
def run(
    network: Annotated[
        Path | None,
        typer.Option(help="A packed network (heddle train) [what ships in the device's format]."),
    ] = None,
    device: options.Kind = "sim",
    preset: options.Preset = "small",
    baud: options.Baud = None,
    folder: options.DataFolder = None,
    images: options.Images = None,
    trace: options.Trace = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/run"),
):
    """Run a packed network on a device: `heddle run --network mine.safetensors --device sim`."""
    _classify(network, images, device, preset, trace, out, baud=baud, data_folder=folder)
