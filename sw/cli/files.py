"""The commands for arrays and packed files."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ...hw.formats import FORMATS
from ..compiler import nm, packing
from ..compiler.packing import PackedWeights
from ..errors import FormatError
from ..lib import arrays, files
from ..nn import container, models
from . import options, paths
from .app import Family, family
from .screen import Table, console, say

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
    pruned = nm.prune(arrays.read(array), n, m, axis)
    files.write_array(paths.writable(out, force), pruned)
    say(f"wrote {out}: {np.count_nonzero(pruned):,} of {pruned.size:,} kept")


@command()
def check(
    array: Annotated[Path, typer.Argument(help="A .npy array.")],
    nm_: options.Pattern = "2:8",
    axis: Annotated[int, typer.Option(help="The axis of the groups (K).")] = 0,
):
    """Say whether an array is N:M, and where it is not."""
    n, m = options.pattern(nm_)
    nm.check(arrays.read(array), n, m, axis)
    say(f"{array} is {n}:{m} along axis {axis}")


@command()
def pack(
    array: Annotated[
        Path, typer.Argument(help="A .npy matrix [K, C], or a model's .safetensors file.")
    ],
    out: Annotated[Path, typer.Argument(help="The packed .safetensors file.")],
    nm_: Annotated[str | None, typer.Option("--nm", help="N:M; without it, any zeros.")] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS))] = "fp16",
    tensor: Annotated[
        str | None, typer.Option(help="Which tensor of a model [every matrix in it].")
    ] = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="Take [C, K]: so PyTorch's Linear keeps weights.")
    ] = False,
    scale: Annotated[
        str | None,
        typer.Option(help="column: divide each column so that its largest weight just fits."),
    ] = None,
    force: options.Force = False,
):
    """Pack a matrix, or a pruned model's: `heddle pack sparse.npy w.safetensors --nm 2:8`."""
    n, m = options.pattern(nm_) if nm_ else (None, 8)
    if array.suffix == ".safetensors":
        options_ = {"tensor": tensor, "transpose": transpose, "scale": scale}
        _pack_model(array, out, force, format, n, m, **options_)
        return
    if tensor is not None:
        raise FormatError(f"--tensor is for a .safetensors file; {array} holds one array")
    packed, rounding = models.pack_matrix(arrays.read(array), format, n, m, transpose, scale)
    container.save(paths.writable(out, force), {"weights": packed})
    say(f"wrote {out}: {len(packed.values):,} weights, {packed.nbytes:,} bytes packed")
    if rounding.changed:
        say(
            f"rounding to {format} changed {rounding.changed:,} of "
            f"{packed.shape[0] * packed.shape[1]:,} elements; {rounding.lost:,} became zero"
        )


def _pack_model(path: Path, out: Path, force: bool, format: str, n, m, **which) -> None:
    outcomes = list(models.pack_model(path, format, n, m, **which))
    made = {outcome.name: outcome.packed for outcome in outcomes if outcome.packed}
    if made:
        container.save(paths.writable(out, force), made)
    _show_outcomes(outcomes)
    if not made:
        raise FormatError(f"nothing of {path} could be packed")
    taken = "[C, K]" if which["transpose"] else "[K, C]; --transpose takes PyTorch's [out, in]"
    say(f"wrote {out}: {len(made)} of {len(outcomes)} tensors, taken as {taken}")


def _show_outcomes(outcomes: list[models.Outcome]) -> None:
    packed = Table("packed", "type", "K x C", "kept", "bytes", "rounded", "to zero")
    skipped = Table("skipped", "type", "shape", "why", left=4)
    for found in outcomes:
        start = found.name, found.type
        if found.packed:
            rounding = f"{found.rounding.changed:,}", f"{found.rounding.lost:,}"
            packed.add_row(*start, *_packed_cells(found.packed), *rounding)
        else:
            skipped.add_row(*start, _size(found.shape), found.skipped)
    for table in (packed, skipped):
        if table.row_count:
            console.print(table)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _packed_cells(packed: PackedWeights) -> list[str]:
    """Size, share of the elements kept, bytes."""
    share = len(packed.values) / (packed.shape[0] * packed.shape[1])
    return [_size(packed.shape), f"{share:.1%}", f"{packed.nbytes:,}"]


@command()
def unpack(
    file: Annotated[Path, typer.Argument(help="A packed file.")],
    out: Annotated[Path, typer.Argument(help="The .npy matrix, float64.")],
    name: Annotated[
        str | None, typer.Option(help="Which matrix of the file; needless if it has one.")
    ] = None,
    force: options.Force = False,
):
    """Write a packed matrix out dense again."""
    matrices, _, _ = container.load(file)
    if name is None and len(matrices) == 1:
        (name,) = matrices
    if name not in matrices:
        wanted = "is not named (--name)" if name is None else f"{name!r} is not there"
        raise FormatError(
            f"which matrix of {file} to unpack {wanted}; it has {', '.join(matrices) or 'none'}"
        )
    files.write_array(paths.writable(out, force), packing.to_dense(matrices[name]))
    say(f"wrote {out}")


@command()
def info(file: Annotated[Path, typer.Argument(help="A packed file.")]):
    """Say what a packed file holds."""
    matrices, plain, notes = container.load(file)
    say(str(file), style="bold")
    table = Table("matrix", "K x C", "format", "N:M", "kept", "bytes")
    for name, packed in matrices.items():
        pattern = "any" if packed.pattern is None else "{}:{}".format(*packed.pattern)
        size, *kept = _packed_cells(packed)
        table.add_row(name, size, packed.format.name, pattern, *kept)
    console.print(table)
    if plain or notes:
        say(f"with {', '.join(plain) or 'no arrays'}; notes {notes}")
