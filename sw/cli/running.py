"""The commands that run networks: `heddle demo` and `heddle run`."""

from pathlib import Path
from typing import Annotated

import typer

from ...hw.config import Config
from ..errors import FormatError
from ..host.device import Device
from ..nn import data as datasets
from ..nn.network import CONVOLUTIONS, Network, named, shipped
from ..nn.programs import compiled
from ..report import demo, page, programs
from . import options, paths, results
from .app import Family, family
from .configuration import Chosen, configured
from .screen import console, say

command = family(Family.RUNNING)
MOST = 64
"""Images of the network of convolutions that the demo runs."""


def _classify(
    path: Path | None,
    images: int | None,
    kind: str,
    chosen: Chosen,
    trace: Path | None,
    folder: Path,
    clock_mhz: float | None,
    convolutions: bool = False,
    cover: bool = False,
    baud: int | None = None,
    data_folder: Path | None = None,
) -> None:
    """Run the network at `path`, or the one that ships in the device's format; after it the
    one of `convolutions`, if the device can."""
    clock = options.clock(clock_mhz, chosen)
    given = Network.load(named(path)) if path else None
    paths.folder(folder)  # a folder that cannot be written is told before the run
    with options.opened(kind, chosen, baud=baud, trace=trace) as device:
        network = given or Network.load(shipped(device.config.format))
        report = _run(network, images, device, clock, data_folder)
        if convolutions and (network := _convolutions(device.config)):
            say()
            report |= _run(network, min(images or MOST, MOST), device, clock)
    if cover:
        report["coverage"] = demo.coverage(console)
        results.show_coverage(report["coverage"])
    for written in page.write(report, folder):
        say(f"wrote {written}")
    wrong = any(part.get("mismatches") for part in (report, report.get("program", {})))
    if wrong or (cover and report["coverage"]["missing"]):
        raise typer.Exit(1)


def _run(
    network: Network,
    images: int | None,
    device: Device,
    clock: float | None,
    data_folder: Path | None = None,
) -> dict:
    """Run a network and show what was measured; the report, that of a program in its "program"."""
    dataset = datasets.load(network.data, data_folder).first(images)
    if network.plain:
        report = demo.run(network, dataset, device, console, clock)
        results.show(report)
        return report
    report = programs.run(network, dataset, device, console, clock)
    results.show_program(report)
    return {"program": report}


def _convolutions(config: Config) -> Network | None:
    """The network of convolutions that ships, unless `config` cannot run it: then that is said."""
    network = Network.load(CONVOLUTIONS)
    try:
        if config.format != network.format or not config.vector_lanes:
            raise FormatError(
                f"it needs a device of {network.format.name} with tensor_words and vector_lanes"
            )
        compiled(network, config, programs.BATCH)
    except FormatError as reason:
        say(f"The network of convolutions is not run: {reason}")
        return None
    return network


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
    """The main job: the networks that ship with Heddle through the simulated accelerator.

    Builds the simulator (once), streams the compact weights, classifies the test images, compares
    every output with the golden model, measures functional coverage on small arrays, and writes
    report.json and report.html. The network of convolutions runs too, on the first 64 images, if
    the device has FP16, tensor memory and vector lanes.
    """
    from ...sim.engines import verilator

    cover = coverage and verilator.available()
    if coverage and not cover:
        say("Functional coverage is not measured: it needs a C++ compiler.")
    _classify(None, images, "sim", chosen, trace, out, clock_mhz, convolutions=True, cover=cover)


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
    """Run a packed network on a device: `heddle run --network mine.safetensors --device sim`.

    One of convolutions runs as one program: its device has tensor memory and vector lanes.
    """
    _classify(network, images, device, chosen, trace, out, clock_mhz, baud=baud, data_folder=folder)
