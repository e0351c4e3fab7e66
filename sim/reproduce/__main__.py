"""`make reproduce`: accuracies of every recipe, into docs/accuracy.json, and as a page beside it;
what is there stays. With --bits, trainings on simulated Verilog beside the host's, into
docs/bits.json; with --layers, cycles of single layers' products, into docs/layers.json; with
--picture, what each recipe is worth."""

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ...sw.cli import options as options_of
from ...sw.errors import HeddleError
from ...sw.nn import data as datasets
from ...sw.nn.trainer import METHODS
from . import bits, layers, page, picture, runs
from .kept import read

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make reproduce", description=__doc__)
    parser.add_argument("--data", default="digits", choices=datasets.NAMES)
    parser.add_argument("--folder", type=Path, help="of a 28 x 28 set's idx files")
    parser.add_argument("--architecture", default="mlp", choices=("mlp", "cnn"))
    parser.add_argument("--methods", default=",".join(METHODS), help="some of them")
    parser.add_argument("--patterns", default="2:4,1:4,2:8,1:8", help="some of N:M")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1 on")
    parser.add_argument("--out", type=Path, default=ROOT / runs.FILE)
    parser.add_argument("--bits", action="store_true", help="train on simulated Verilog instead")
    parser.add_argument("--layers", action="store_true", help="measure single layers instead")
    parser.add_argument("--picture", action="store_true", help="draw what is kept instead")
    options = parser.parse_args()
    if options.bits:
        return bits_()
    if options.layers:
        about = {"command": 'make reproduce ARGS="--layers"', "commit": commit()}
        layers.remade(ROOT / layers.FILE, **about)
        return 0
    if options.picture:
        of = options.data, options.architecture, options.epochs, options.batch
        kept, summary = read(ROOT / layers.FILE, "layers"), runs.summary(read(options.out))
        if not kept["layers"] or (*of, "dense", picture.M, picture.M) not in summary:
            Console().print("a picture needs --layers first, and trainings, dense ones among them")
            return 2
        picture.draw(ROOT / picture.FILE, summary, kept, of)
        return 0
    console, methods = Console(), options.methods.split(",")
    try:
        runs.check(methods)
        patterns = [options_of.pattern(text) for text in options.patterns.split(",")]
        dataset = datasets.load(options.data, options.folder)
    except (ValueError, HeddleError) as reason:
        console.print(str(reason), style="red", markup=False)
        return 2
    kept = read(options.out)
    chosen = options.data, options.architecture, methods, patterns
    every = list(runs.wanted(*chosen, options.epochs, options.batch, options.seeds))
    todo = runs.missing(every, kept, dataset)
    about = {"command": command(parser, options), "commit": commit()}
    with Progress(console=console) as progress:
        task = progress.add_task("trainings", total=len(every), completed=len(every) - len(todo))
        for run in todo:
            runs.add(options.out, kept, runs.result(run, dataset), **about)
            progress.advance(task)
    page.write(options.out.with_suffix(".md"), kept)
    console.print(table(kept))
    return 0


def bits_() -> int:
    """How many numbers differ; some, and that is told too."""
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("steps", total=None)

        def told(case: bits.Case, step: int) -> None:
            progress.update(task, completed=step, description=case.name)

        about = {"command": 'make reproduce ARGS="--bits"', "commit": commit()}
        kept = bits.remade(ROOT / bits.FILE, told, **about)
    for row in kept["runs"]:
        console.print(
            f"{row['name']}: {row['steps']} steps, {row['different']} of {row['numbers']:,} "
            "numbers differ"
        )
    return int(any(row["different"] for row in kept["runs"]))


def command(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """What makes the same trainings again, wherever they are kept."""
    given = {
        name: value
        for name, value in vars(options).items()
        if name not in ("out", "folder", "bits", "layers", "picture")
        and value != parser.get_default(name)
    }
    words = " ".join(f"--{name} {value}" for name, value in given.items())
    return f'make reproduce ARGS="{words}"' if words else "make reproduce"


def commit() -> str:
    """Of the checkout, or nothing where there is none."""
    words = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def table(kept: dict) -> Table:
    made = Table(title="accuracy on the test images, per cent")
    for column in ("data", "network", "epochs", "method", "N:M", "mean", "deviation", "seeds"):
        made.add_column(column)
    for name, (mean, deviation, seeds) in sorted(runs.summary(kept).items()):
        data, architecture, epochs, _, method, n, m = name
        pattern = f"{n}:{m}" if method != "dense" else ""
        row = data, architecture, epochs, method, pattern, f"{mean:.2f}", f"{deviation:.2f}", seeds
        made.add_row(*map(str, row))
    return made


if __name__ == "__main__":
    sys.exit(main())
