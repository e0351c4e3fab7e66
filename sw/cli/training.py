"""`heddle train`."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...hw.config import Config, ConfigError
from ...hw.config import trainer as trainer_called
from ..errors import FormatError, HeddleError
from ..host.open import KINDS
from ..lib.stopping import between_steps, stopped_by
from ..nn import checkpoint, trainer, transfer
from ..nn import data as datasets
from ..nn.network import Network, accuracy, check_trainable, from_trained, golden
from ..nn.on_device import METHODS, OnDevice
from ..nn.on_model import OnModel
from ..nn.quantise import quantise_network
from ..report import learning_curves, pictures
from . import options, paths
from .app import Family, family
from .configuration import Chosen, choose
from .screen import console, safe, say
from .team import Team, team

command = family(Family.TRAINING)


@command()
def train(
    data: Annotated[
        str, typer.Option(help=f"One of {', '.join(datasets.NAMES)}, or a file .npz.")
    ] = "digits",
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
    curves: Annotated[
        Path | None, typer.Option(help="A picture of loss and accuracy, .svg or .png.")
    ] = None,
    every: Annotated[
        float, typer.Option(min=0, help="Seconds from checkpoint to checkpoint.")
    ] = 60,
    device: Annotated[
        str | None,
        typer.Option(help=f"Who does the steps, one of {', '.join(KINDS)}, or a board [the host]."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Of a device that is no board; what for training is added [small]."),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(help="Instead: what a board carries, by `NAME/CONFIGURATION`."),
    ] = None,
    baud: options.Baud = None,
    hidden: Annotated[str, typer.Option(help="Widths of a perceptron's hidden layers.")] = ",".join(
        map(str, trainer.Recipe.hidden)
    ),
    batch: Annotated[int, typer.Option(min=1)] = trainer.Recipe.batch,
    start: Annotated[
        Path | None, typer.Option(help="A packed network to begin with, as FP16.")
    ] = None,
    frozen: Annotated[
        int, typer.Option(min=0, help="Layers of it, from the first on, that stay as they are.")
    ] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, whatever checkpoint there is.")
    ] = False,
    force: options.Force = False,
):
    """Train a sparse network and pack it; the same seed gives the same file.

    What is done is kept beside the network, in a file .checkpoint, now and then and at Ctrl-C: the
    same command goes on from there, with the same bits. When the network is there it is removed.

    The networks that ship with Heddle: `heddle train --out sw/nn/networks/digits-2of8.safetensors`,
    `heddle train --format int8 --out sw/nn/networks/digits-2of8-int8.safetensors`, and
    `heddle train --architecture cnn --out sw/nn/networks/digits-cnn-2of8.safetensors`.
    """
    check_trainable(format)
    chosen = _chosen(preset, board)
    n, m = options.pattern(nm)
    if architecture == "cnn" and format != "fp16":
        raise FormatError("convolutions are trained as fp16: what they add has no scale")
    usual = trainer.rate_of(architecture, method)
    rate = rate if rate is not None else usual
    shape: dict = {"architecture": architecture, "hidden": _widths(hidden)}
    begun = []
    if start is not None:
        before = Network.load(start)
        begun = transfer.layers_of(before)
        shape |= transfer.shape_of(before)
        shape["start"] = hashlib.sha256(start.read_bytes()).hexdigest()
    recipe = trainer.Recipe(
        **shape,
        frozen=frozen,
        n=n,
        m=m,
        method=method,
        epochs=epochs,
        batch=batch,
        rate=rate,
        # A device has no way to pull what it prunes.
        pull=0.0 if device and method in METHODS else trainer.Recipe.pull,
        seed=seed,
    )
    if curves:
        pictures.check(curves)
        paths.writable(curves, force)
    paths.writable(out, force)
    dataset = datasets.load(data, folder)
    kept = out.with_name(f"{out.name}.checkpoint")
    if kept.exists() and not restart:
        training = checkpoint.load(kept, dataset, recipe, begun)
    else:
        training = trainer.Training.begun(dataset, recipe, begun)
    if device is None and training.whole_batches:
        raise FormatError(f"{kept} is of a training on a device: name it with --device")
    with team() as mine:
        if mine.leads and training.step:
            done = f"{training.step:,} of {training.steps:,} steps are done"
            say(f"going on from {kept} at a rate of {rate:g}: {done}")
        if device is None and mine.ranks > 1:
            raise FormatError("each rank has a device: say with --device which")
        if device == "model" and mine.ranks == 1:
            OnModel(training, chosen.config.group)
        if training.learner or device is None:
            _run(training, kept, every, mine)
        else:
            with options.opened(mine.own(device), chosen, baud=baud) as opened:
                mine.learn(training, opened)
                _run(training, kept, every, mine)
    if not mine.leads:
        return
    _write(training, format, out)
    kept.unlink(missing_ok=True)
    if curves:
        learning_curves.draw(curves, training.curve)
        say(f"wrote {curves}")


def _write(training: trainer.Training, format: str, out: Path) -> None:
    """The packed network, and how well it does."""
    layers, dataset, recipe = training.layers, training.data, training.recipe
    nm = f"{recipe.n}:{recipe.m}"
    notes = {"method": recipe.method, "nm": nm, "epochs": recipe.epochs, "seed": recipe.seed}
    trained = from_trained(layers, dataset.name, notes)
    network = quantise_network(layers, dataset, notes) if format == "int8" else trained
    network.save(out)
    images, labels = dataset.judged
    what = "test accuracy" if images is dataset.test_x else "accuracy with what it learnt from"
    before = accuracy(trained.float32(images), labels)
    if not network.plain:
        say(
            f"{what} {before:.2%} (float32; heddle run says what devices compute); wrote "
            f"{out}, {out.stat().st_size:,} bytes"
        )
        return
    exact = golden(Config("golden", 2, 2, network.format))
    after = accuracy(network.run(images, exact)[-1], labels)
    say(
        f"{what} {before:.2%} (float32), {after:.2%} ({format}, as devices compute it); "
        f"wrote {out}, {out.stat().st_size:,} bytes"
    )


def _chosen(preset: str | None, board: str | None) -> Chosen:
    """The device's configuration. Raises `ConfigError` if a board's cannot train."""
    if board is None:
        return Chosen(trainer_called(preset or "small"), given=preset is not None)
    chosen = choose("small", preset, board=board)
    if not chosen.config.prunes:
        raise ConfigError(f"{chosen.config.name!r}, which --board names, is not for training")
    return chosen


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if not widths or min(widths) < 1:
        raise FormatError(f"--hidden {text!r} is no list of widths: write, for example, 128,64")
    return widths


def _run(training: trainer.Training, kept: Path, every: float, mine: Team) -> None:
    """All steps that are left, with a checkpoint in `kept` after so many seconds and at Ctrl-C, by
    the rank that leads."""
    columns = (
        TextColumn("training on {task.fields[on]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    saved, on, signal = time.monotonic(), safe(training.data.name), 0
    bars = Progress(*columns, console=console, disable=not (console.is_terminal and mine.leads))
    with bars as progress, between_steps() as stop, _told_where(kept, mine):
        task = progress.add_task("", total=training.steps, on=on, state="")
        # Ranks stop together, or some would wait for what others do not bring.
        while not training.done and not (signal := mine.largest(stop.signal)):
            training.advance()
            progress.update(task, completed=training.step, state=_state(training))
            if mine.leads and time.monotonic() - saved >= every:
                checkpoint.save(kept, training)
                saved = time.monotonic()
    if training.done:
        return
    if mine.leads:
        checkpoint.save(kept, training)
        say(
            f"stopped after {training.step:,} of {training.steps:,} steps; they are in {kept}, and "
            "the same command goes on from there"
        )
    raise typer.Exit(stopped_by(signal))


@contextmanager
def _told_where(kept: Path, mine: Team) -> Iterator[None]:
    """If something fails, say what is not lost."""
    try:
        yield
    except HeddleError:
        if mine.leads and kept.exists():
            done = f"what was done up to the last checkpoint is in {kept}"
            say(f"{done}; the same command goes on from there")
        raise


def _state(training: trainer.Training) -> str:
    """Loss and accuracy of the last epoch that is done."""
    parts = []
    if training.curve:
        loss, right = training.curve[-1]
        parts = [f"loss {loss:.3f}, accuracy {right:.1%}"]
    elif training.losses:
        parts = [f"loss {training.losses[-1]:.3f}"]
    if isinstance(training.learner, OnDevice):
        parts.append(f"{training.learner.cycles:,} cycles a step")
    if training.skipped:
        parts.append(f"{training.skipped:,} steps skipped")
    return ", ".join(parts)
