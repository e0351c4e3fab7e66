"""The commands for arrays and packed files."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from ...hw.formats import FORMATS
from .. import container, nm, packing
from ..errors import FormatError
from . import options, paths
from .app import Family, family
from .screen import console

command = family(Family.FILES)


@command()
def prune(
    array: Annotated[Path, typer.Argument(help="A dense .npy array.")],
    out: Annotated[Path, typer.Argument(help="The pruned .npy array.")],
    nm_: options.Pattern = "2:8",
    axis: Annotated[int, typer.Option(help="The axis of the groups (K).")] = 0,
    force: options.Force = False,
):
    """Keep the N largest magnitudes of every M: `heddle prune w.npy sparse.npy --nm 2:8`."""
    n, m = options.pattern(nm_)
    pruned = nm.prune(paths.read(array), n, m, axis)
    with paths.writable(out, force).open("wb") as file:
        np.save(file, pruned)
    console.print(f"wrote {out}: {np.count_nonzero(pruned):,} of {pruned.size:,} kept")


@command()
def check(
    array: Annotated[Path, typer.Argument(help="A .npy array.")],
    nm_: options.Pattern = "2:8",
    axis: Annotated[int, typer.Option(help="The axis of the groups (K).")] = 0,
):
    """Say whether an array is N:M, and where it is not."""
    n, m = options.pattern(nm_)
    nm.check(paths.read(array), n, m, axis)
    console.print(f"{array} is {n}:{m} along axis {axis}")


@command()
def pack(
    array: Annotated[Path, typer.Argument(help="A .npy matrix [K, C].")],
    out: Annotated[Path, typer.Argument(help="The packed .safetensors file.")],
    nm_: Annotated[str | None, typer.Option("--nm", help="N:M; without it, any zeros.")] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS))] = "fp16",
    force: options.Force = False,
):
    """Pack a matrix: `heddle pack sparse.npy w.safetensors --nm 2:8 --format fp16`."""
    n, m = options.pattern(nm_) if nm_ else (None, 8)
    dense = paths.read(array)
    packing.check_range(dense, format)
    packed = packing.pack(dense, format, n, m)
    container.save(paths.writable(out, force), {"weights": packed})
    console.print(f"wrote {out}: {len(packed.values):,} weights, {packed.nbytes:,} bytes packed")
    if dense.dtype.kind != "f":
        return
    held = packing.to_dense(packed)
    if changed := np.count_nonzero(held != dense):
        lost = np.count_nonzero((held == 0) & (dense != 0))
        console.print(
            f"rounding to {format} changed {changed:,} of {dense.size:,} elements; "
            f"{lost:,} became zero"
        )


@command()
def unpack(
    file: Annotated[Path, typer.Argument(help="A packed file.")],
    out: Annotated[Path, typer.Argument(help="The .npy matrix, float64.")],
    name: Annotated[str, typer.Option(help="Which matrix of the file.")] = "weights",
    force: options.Force = False,
):
    """Write a packed matrix out dense again."""
    matrices, _, _ = container.load(file)
    if name not in matrices:
        raise FormatError(f"{file} has no matrix {name!r}; it has {', '.join(matrices)}")
    with paths.writable(out, force).open("wb") as target:
        np.save(target, packing.to_dense(matrices[name]))
    console.print(f"wrote {out}")


@command()
def info(file: Annotated[Path, typer.Argument(help="A packed file.")]):
    """Say what a packed file holds."""
    matrices, arrays, notes = container.load(file)
    table = Table(title=str(file))
    for column in ("matrix", "K x C", "format", "N:M", "kept", "bytes"):
        table.add_column(column, justify="right")
    for name, packed in matrices.items():
        pattern = "any" if packed.pattern is None else "{}:{}".format(*packed.pattern)
        share = len(packed.values) / (packed.shape[0] * packed.shape[1])
        size = "{} x {}".format(*packed.shape)
        table.add_row(name, size, packed.format.name, pattern, f"{share:.1%}", f"{packed.nbytes:,}")
    console.print(table)
    if arrays or notes:
        console.print(f"with {', '.join(arrays) or 'no arrays'}; notes {notes}")
