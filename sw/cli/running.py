"""The commands that run networks: `heddle demo` and `heddle run`."""

from pathlib import Path
from typing import Annotated

import typer

from ..nn import data as datasets
from ..nn.network import Network, shipped
from ..report import demo, page
from . import options, paths, results
from .app import Family, family
from .configuration import Chosen, configured
from .screen import console, say

command = family(Family.RUNNING)


def _classify(
    path: Path | None,
    images: int | None,
    kind: str,
    chosen: Chosen,
    trace: Path | None,
    folder: Path,
    clock_mhz: float | None,
    cover: bool = False,
    baud: int | None = None,
    data_folder: Path | None = None,
) -> None:
    """Run the network at `path`, or the one that ships in the device's format."""
    clock = options.clock(clock_mhz, chosen)
    named = Network.load(path) if path else None
    paths.folder(folder)  # a folder that cannot be written is told before the run
    with options.opened(kind, chosen, baud=baud, trace=trace) as device:
        network = named or Network.load(shipped(device.config.format))
        dataset = datasets.load(network.data, data_folder).first(images)
        report = demo.run(network, dataset, device, console, clock)
    results.show(report)
    if cover:
        report["coverage"] = demo.coverage(console)
        results.show_coverage(report["coverage"])
    for written in page.write(report, folder):
        say(f"wrote {written}")
    if report["mismatches"] or (cover and report["coverage"]["missing"]):
        raise typer.Exit(1)


@command("demo")
@configured("small")
def demo_(
    chosen: Chosen,
    images: options.Images = None,
    trace: options.Trace = None,
    clock_mhz: options.Clock = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/sim"),
    coverage: Annotated[bool, typer.Option(help="Measure functional coverage too.")] = True,
):
    """The main job: the network that ships with Heddle through the simulated accelerator.

    Builds the simulator (once), streams the compact weights, classifies the test images, compares
    every output with the golden model, measures functional coverage on small arrays, and writes
    report.json and report.html.
    """
    from ...sim.engines import verilator

    cover = coverage and verilator.available()
    if coverage and not cover:
        say("Functional coverage is not measured: it needs a C++ compiler.")
    _classify(None, images, "sim", chosen, trace, out, clock_mhz, cover)


@command()
@configured("small")
def run(
    chosen: Chosen,
    network: Annotated[
        Path | None,
        typer.Option(help="A packed network (heddle train) [what ships in the device's format]."),
    ] = None,
    device: options.Kind = "sim",
    baud: options.Baud = None,
    folder: options.DataFolder = None,
    images: options.Images = None,
    trace: options.Trace = None,
    clock_mhz: options.Clock = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/run"),
):
    """Run a packed network on a device: `heddle run --network mine.safetensors --device sim`."""
    _classify(network, images, device, chosen, trace, out, clock_mhz, baud=baud, data_folder=folder)
