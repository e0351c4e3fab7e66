"""`heddle explain`: where the cycles of products go."""

import json as json_
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ...hw.config import Config
from ..compiler import nm, packing
from ..compiler.packing import PackedWeights
from ..errors import FormatError
from ..host.causes import CAUSES
from ..host.device import Device
from ..nn import container
from ..nn import data as datasets
from ..nn.network import Network, hardware, named
from ..report import engines
from ..report.explain import Explanation, explain, of_stats
from . import explained, options
from .app import Family, family
from .configuration import Chosen, configured
from .screen import Table, console, say

command = family(Family.RUNNING)
BATCH = 64
TOGETHER = 8
"""Images of a program, whose activations are all in tensor memory."""
Product = tuple[str, int, PackedWeights]
"""Its name, B, and the weights."""


def _shape(text: str) -> tuple[int, int, int]:
    try:
        rows, inner, outputs = (int(part) for part in text.lower().split("x"))
    except ValueError:
        rows = inner = outputs = 0
    if min(rows, inner, outputs) < 1:
        raise FormatError(f"a shape is BxKxC, like 128x1536x384, not {text!r}")
    return rows, inner, outputs


def _made(config: Config, text: str, pattern: str | None, zeros: float | None) -> Product:
    """A product of random numbers."""
    if pattern and zeros is not None:
        raise FormatError("weights have an N:M pattern or a share of zeros anywhere: name one")
    rows, inner, outputs = _shape(text)
    rng = np.random.default_rng(1)
    # Whole and small, so that every format holds them.
    dense = rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], (inner, outputs))
    if zeros is not None:
        dense[rng.random(dense.shape) < zeros] = 0
        return text, rows, packing.pack(dense, config.format, None, group=config.group)
    n, m = options.pattern(pattern or f"{config.group}:{config.group}")
    packing.check_pattern(n, m, config.group)
    return text, rows, packing.pack(nm.prune(dense, n, m), config.format, n, m, config.group)


def _random(device: Device, product: Product, bias: bool) -> Explanation:
    """Explain a product with random activations, and a bias for each output if asked for."""
    name, rows, weights = product
    rng = np.random.default_rng(2)
    x = rng.integers(-3, 4, (rows, weights.shape[0])).astype(float)
    offsets = rng.integers(1, 9, weights.shape[1]) if bias else None
    return explain(device, x, weights, name, bias=offsets)


def _layers(device: Device, network: Network, rows: int) -> list[Explanation]:
    """Explain the layers of a network on its own test images."""
    network.check_fits(device.config)
    stats = []
    network.run(datasets.load(network.data).first(rows).test_x, hardware(device, stats))
    return [
        of_stats(device.config, layer.weights, counted, f"layer {i}")
        for i, (layer, counted) in enumerate(zip(network.layers, stats, strict=True))
    ]


@command("explain")
@configured("small")
def explain_(
    chosen: Chosen,
    file: Annotated[
        Path | None, typer.Argument(help="A packed file, of matrices or a network.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Or a product: BxKxC.")] = None,
    nm_: Annotated[str | None, typer.Option("--nm", help="Its pattern [dense].")] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            help="Or a network as one program, layer by layer: a file, or the name of one that "
            "ships, like digits-cnn-2of8."
        ),
    ] = None,
    zeros: Annotated[
        float | None, typer.Option(min=0, max=1, help="Or its share of zeros, anywhere.")
    ] = None,
    bias: Annotated[bool, typer.Option(help="With a bias for each output.")] = False,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help=f"B, or images, for a file [{BATCH}; for a program {TOGETHER}]."),
    ] = None,
    device: options.Kind = "sim",
    baud: options.Baud = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
):
    """Where the cycles of a product go: `heddle explain --shape 128x1536x384 --nm 2:8`.

    Runs it, and splits the device's cycles into causes that add up to all of them; names the
    setting that would change the largest. Of a network as one program (`--network`) it also tells
    what each engine did, whom it waited for, and what passed through each port; one of convolutions
    is always one.
    """
    if sum(given is not None for given in (file, shape, network)) != 1:
        raise FormatError(
            "name a packed file, or a product with --shape BxKxC, or a program with --network"
        )
    if shape is None and (nm_ or zeros is not None):
        raise FormatError("--nm and --zeros go with --shape: a file has its own weights")
    matrices, layers = _opened(file) if file is not None else ({}, None)
    program = Network.load(named(network)) if network is not None else None
    if layers is not None and not layers.plain:
        program = layers  # no other way to run it
    if program is not None:
        _program(program, device, chosen, baud, batch or TOGETHER, json)
        return
    batch = batch or BATCH
    with options.opened(device, chosen, baud=baud) as opened:
        if shape is not None:
            made = [_random(opened, _made(opened.config, shape, nm_, zeros), bias)]
        elif layers is not None:
            made = _layers(opened, layers, batch)
        else:
            made = [_random(opened, (n, batch, w), bias) for n, w in matrices.items()]
    if json:
        print(json_.dumps([one.plain() for one in made], indent=2))
        return
    for one in made:
        _show(one)


def _opened(file: Path) -> tuple[dict[str, PackedWeights], Network | None]:
    """A packed file's matrices, and the network that they are, if they are one."""
    matrices, _, notes = container.load(file)
    return matrices, Network.load(file) if "relu" in notes else None


def _program(
    network: Network, device: str, chosen: Chosen, baud: int | None, images: int, json: bool
) -> None:
    """A network as one program."""
    x = datasets.load(network.data).first(images).test_x
    with options.opened(device, chosen, baud=baud) as opened:
        made = engines.explain(network, opened, x)
        config = opened.config
    if json:
        print(json_.dumps([one.plain() for one in made], indent=2))
    else:
        explained.show(made, network.data, config, images)


def _show(one: Explanation) -> None:
    """In the terminal: a line a cause, no wider than 80 columns."""
    if not one.causes:
        say("This device has no counters (it is compact): where cycles go is not measured.")
        return
    shape = "x".join(map(str, one.shape))
    say(f"{one.name}: {shape}, {one.pattern}, {one.cycles:,} cycles", style="bold")
    table = Table("cause", "cycles", "share", "what", left=1)
    table.columns[-1].justify, table.columns[-1].no_wrap = "left", False
    for cause, what in CAUSES.items():
        cycles = one.causes[cause]
        table.add_row(cause, f"{cycles:,}", f"{cycles / one.cycles:.1%}", what)
    console.print(table)
    if one.setting:
        say(f"Most after work: {one.largest}. Try {one.setting}: {one.advice}.")
