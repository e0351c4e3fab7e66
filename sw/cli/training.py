"""`heddle train`."""

from pathlib import Path
from typing import Annotated

import typer

from ...hw.config import Config
from ..errors import FormatError
from ..nn import data as datasets
from ..nn import trainer
from ..nn.network import accuracy, check_trainable, from_trained, golden
from ..nn.quantise import quantise_network
from . import options, paths
from .app import Family, family
from .screen import console, say

command = family(Family.TRAINING)
RATES = {"cnn": 0.05, "step": 0.002}
"""Of learning, by architecture or method, where it is not `trainer.Recipe.rate`."""


@command()
def train(
    data: Annotated[str, typer.Option(help=f"One of {', '.join(datasets.NAMES)}.")] = "digits",
    nm: options.Pattern = "2:8",
    method: Annotated[str, typer.Option(help=", ".join(trainer.METHODS))] = "bdwp",
    architecture: Annotated[
        str, typer.Option(help=f"{', '.join(trainer.ARCHITECTURES)}: convolutions, as FP16.")
    ] = "mlp",
    epochs: Annotated[int, typer.Option(min=1)] = trainer.Recipe.epochs,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Of learning [0.1; cnn: 0.05; step: 0.002].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = trainer.Recipe.seed,
    format: Annotated[str, typer.Option(help="fp16, or int8: quantised after training.")] = "fp16",
    folder: options.DataFolder = None,
    out: Annotated[Path, typer.Option(help="The packed network.")] = Path("network.safetensors"),
    force: options.Force = False,
):
    """Train a sparse network and pack it; the same seed gives the same file.

    The networks that ship with Heddle: `heddle train --out sw/nn/networks/digits-2of8.safetensors`,
    `heddle train --format int8 --out sw/nn/networks/digits-2of8-int8.safetensors`, and
    `heddle train --architecture cnn --out sw/nn/networks/digits-cnn-2of8.safetensors`.
    """
    from rich.progress import track

    check_trainable(format)
    n, m = options.pattern(nm)
    if architecture == "cnn" and format != "fp16":
        raise FormatError("convolutions are trained as fp16: what they add has no scale")
    usual = RATES.get(method, RATES.get(architecture, trainer.Recipe.rate))
    rate = rate if rate is not None else usual
    recipe = trainer.Recipe(
        architecture=architecture, n=n, m=m, method=method, epochs=epochs, rate=rate, seed=seed
    )
    dataset = datasets.load(data, folder)
    paths.writable(out, force)
    epoch_bar = iter(track(range(epochs), f"training on {data}", console=console))
    next(epoch_bar)
    layers = trainer.train(dataset, recipe, lambda *_: next(epoch_bar, None))
    notes = {"method": method, "nm": nm, "epochs": epochs, "seed": seed}
    trained = from_trained(layers, data, notes)
    network = quantise_network(layers, dataset, notes) if format == "int8" else trained
    network.save(out)
    before = accuracy(trained.float32(dataset.test_x), dataset.test_y)
    if not network.plain:
        say(
            f"test accuracy {before:.2%} (float32; heddle run says what devices compute); wrote "
            f"{out}, {out.stat().st_size:,} bytes"
        )
        return
    exact = golden(Config("golden", 2, 2, network.format))
    after = accuracy(network.run(dataset.test_x, exact)[-1], dataset.test_y)
    say(
        f"test accuracy {before:.2%} (float32), {after:.2%} ({format}, as devices compute it); "
        f"wrote {out}, {out.stat().st_size:,} bytes"
    )
