"""`heddle train`."""

from pathlib import Path
from typing import Annotated

import typer

from ...hw.config import Config
from ..nn import data as datasets
from ..nn import trainer
from ..nn.network import accuracy, check_trainable, from_trained, golden
from ..nn.quantise import quantise_network
from . import options, paths
from .app import Family, family
from .screen import console, say

command = family(Family.TRAINING)


@command()
def train(
    data: Annotated[str, typer.Option(help=f"One of {', '.join(datasets.NAMES)}.")] = "digits",
    nm: options.Pattern = "2:8",
    method: Annotated[str, typer.Option(help=", ".join(trainer.METHODS))] = "bdwp",
    epochs: Annotated[int, typer.Option(min=1)] = trainer.Recipe.epochs,
    seed: Annotated[int, typer.Option(min=0)] = trainer.Recipe.seed,
    format: Annotated[str, typer.Option(help="fp16, or int8: quantised after training.")] = "fp16",
    folder: options.DataFolder = None,
    out: Annotated[Path, typer.Option(help="The packed network.")] = Path("network.safetensors"),
    force: options.Force = False,
):
    """Train a sparse perceptron and pack it; the same seed gives the same file.

    The networks that ship with Heddle: `heddle train --out sw/nn/networks/digits-2of8.safetensors`,
    and `heddle train --format int8 --out sw/nn/networks/digits-2of8-int8.safetensors`.
    """
    from rich.progress import track

    check_trainable(format)
    n, m = options.pattern(nm)
    recipe = trainer.Recipe(n=n, m=m, method=method, epochs=epochs, seed=seed)
    dataset = datasets.load(data, folder)
    paths.writable(out, force)
    epoch_bar = iter(track(range(epochs), f"training on {data}", console=console))
    next(epoch_bar)
    layers = trainer.train(dataset, recipe, lambda *_: next(epoch_bar, None))
    notes = {"method": method, "nm": nm, "epochs": epochs, "seed": seed}
    trained = from_trained(layers, data, notes)
    network = quantise_network(layers, dataset, notes) if format == "int8" else trained
    network.save(out)
    exact = golden(Config("golden", 2, 2, network.format))
    before = accuracy(trained.float32(dataset.test_x), dataset.test_y)
    after = accuracy(network.run(dataset.test_x, exact)[-1], dataset.test_y)
    say(
        f"test accuracy {before:.2%} (float32), {after:.2%} ({format}, as devices compute it); "
        f"wrote {out}, {out.stat().st_size:,} bytes"
    )
