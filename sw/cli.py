"""The `heddle` command."""

import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import numpy as np
import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ..hw.config import PRESETS, Config, ConfigError, preset
from ..hw.formats import FORMATS
from . import cli_boards, container, demo, nm, packing, trainer
from . import data as datasets
from . import device as devices
from .errors import DataError, DeviceError, FormatError, HeddleError
from .network import Network, accuracy, check_trainable, from_trained, golden, shipped
from .quantise import quantise

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="""N:M-sparse weights, and the accelerator that multiplies only by what is kept.

    Begin with [bold]heddle demo[/bold]: a trained network through the simulated accelerator.""",
)
console = Console()
Preset = Annotated[str, typer.Option(help=f"Configuration: {', '.join(PRESETS)}.")]
Pattern = Annotated[str, typer.Option("--nm", help="N:M, for example 2:8.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file.")]
Images = Annotated[int | None, typer.Option(min=1, help="Only so many test images.")]
Kind = Annotated[
    str,
    typer.Option("--device", help=f"One of {', '.join(devices.KINDS)}, or a serial port's path."),
]
Baud = Annotated[int | None, typer.Option(min=1, help="Rate of a serial port [1000000].")]
Trace = Annotated[Path | None, typer.Option(help="Write waveforms to this .fst or .vcd file.")]


def main() -> None:
    """Run the command; a user's mistake is one line, not a traceback."""
    try:
        app()
    except (HeddleError, ConfigError) as mistake:
        _end(str(mistake))
    except OSError as reason:
        # Of a file that is moved the second name is the user's.
        file = reason.filename2 or reason.filename
        _end(f"cannot read or write {file}: {reason.strerror}" if file else str(reason))


def _end(mistake: str) -> NoReturn:
    message = f"[red]heddle:[/red] {escape(mistake)}"
    Console(stderr=True).print(message, highlight=False, soft_wrap=True)
    raise SystemExit(1) from None


def _rate(device: str, baud: int | None) -> dict[str, int]:
    """The option of `devices.open` for the serial port's rate, if one is given."""
    if baud is None:
        return {}
    if not devices.is_port(device):
        raise DeviceError(f"--baud is for a serial port's path, not for the device {device!r}")
    return {"baud": baud}


def _pattern(text: str) -> tuple[int, int]:
    try:
        n, m = (int(part) for part in text.split(":"))
    except ValueError:
        raise FormatError(f"a pattern is N:M, like 2:8, not {text!r}") from None
    return n, m


def _read(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as reason:
        raise FormatError(f"cannot read {path} as a NumPy .npy array: {reason}") from None


def _folder(path: Path) -> Path:
    """`path`, made if it is missing. Raises `DataError` unless files can be made in it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as reason:
        raise DataError(
            f"cannot write into the folder {path} ({reason.strerror}); name another"
        ) from None
    return path


def _writable(path: Path, force: bool) -> Path:
    """`path`, a file that can be made, and its folder there. Raises `FormatError`, `DataError`."""
    if path.is_dir():
        raise FormatError(f"{path} is a folder; name a file to write")
    if path.exists() and not force:
        raise FormatError(f"{path} exists; --force overwrites it")
    _folder(path.parent)
    return path


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
    _folder(folder)  # now: it would be a pity after the run
    simulated = "building the simulated accelerator (once for each configuration)"
    with console.status(f"opening {escape(kind)}" if devices.is_port(kind) else simulated):
        device = devices.open(kind, preset_name, trace=trace, **_rate(kind, baud))
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


@app.command("demo")
def demo_(
    preset: Preset = "small",
    images: Images = None,
    trace: Trace = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/sim"),
    coverage: Annotated[bool, typer.Option(help="Measure functional coverage too.")] = True,
):
    """The main job: the network that ships with Heddle through the simulated accelerator.

    Builds the simulator (once), streams the compact weights, classifies the test images, compares
    every output with the golden model, measures functional coverage on small arrays, and writes
    report.json and report.html.
    """
    from ..sim import verilator

    cover = coverage and verilator.available()
    if coverage and not cover:
        console.print("Functional coverage is not measured: it needs a C++ compiler.")
    _classify(None, images, "sim", preset, trace, out, cover)


@app.command()
def run(
    network: Annotated[
        Path | None,
        typer.Option(help="A packed network (heddle train) [what ships in the device's format]."),
    ] = None,
    device: Kind = "sim",
    preset: Preset = "small",
    baud: Baud = None,
    folder: Annotated[Path | None, typer.Option(help="Where a 28 x 28 set's files are.")] = None,
    images: Images = None,
    trace: Trace = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/run"),
):
    """Run a packed network on a device: `heddle run --network mine.safetensors --device sim`."""
    _classify(network, images, device, preset, trace, out, baud=baud, data_folder=folder)


@app.command()
def selftest(device: Kind = "sim", preset: Preset = "small", baud: Baud = None):
    """Exercise every unit of a device and compare with the golden model, bit for bit."""
    from . import selftest as tests

    with console.status(f"opening {escape(device)}"):
        opened = devices.open(device, preset, **_rate(device, baud))
    c = opened.config
    table = Table(title=f"{escape(device)}: {c.rows} x {c.columns} {c.format.name}, M = {c.group}")
    for column in ("unit", "result", "what was tried, or what went wrong"):
        table.add_column(column)

    def show(result: tests.Result) -> None:
        verdict = "[green]pass[/green]" if result.passed else "[red]FAIL[/red]"
        table.add_row(result.unit, verdict, escape(result.note))

    try:
        with opened, Live(table, console=console, transient=True):
            results = tests.run(opened, show)
    finally:
        console.print(table)  # what there is of it, if the device was lost
    failed = sum(not result.passed for result in results)
    if failed:
        console.print(f"[red]{failed} of {len(results)} units failed[/red]")
        raise typer.Exit(1)
    console.print(f"[green]all {len(results)} units pass[/green]")


@app.command("devices")
def devices_(baud: Baud = None):
    """List the Heddle devices on serial ports and PCI Express, and the simulated kinds."""
    from .memories import cards
    from .serial_port import paths

    table = Table()
    for column in ("device", "what"):
        table.add_column(column)
    link = {"baud": baud, "timeout": 0.1, "retries": 2}
    found_at = {path: link for path in paths()} | {f"xdma:{card}": {} for card in cards()}
    for path, options in found_at.items():
        try:
            with devices.open(path, **options) as found:
                c = found.config
                what = f"{c.rows} x {c.columns} {c.format.name}, M = {c.group}"
        except HeddleError as reason:
            what = f"[dim]{escape(str(reason))}[/dim]"
        table.add_row(path, what)
    for kind, what in devices.KINDS.items():
        table.add_row(kind, f"[dim]simulated: {what}; any --preset[/dim]")
    console.print(table)
    if not found_at:
        console.print(
            "No board is connected: neither a serial port on USB nor a card on PCI Express."
        )


@app.command("board-sim")
def board_sim(preset_name: Annotated[str, typer.Option("--preset")] = "tiny"):
    """Simulate a board down to its serial pins, behind a pseudo-terminal; Ctrl-C ends it."""
    from ..sim import board

    def announce(path: str) -> None:
        console.print(f"{preset_name} at {path}: heddle selftest --device {path}", soft_wrap=True)

    try:
        board.serve(preset(preset_name), announce)
    except KeyboardInterrupt:
        console.print("ended")


@app.command()
def train(
    data: Annotated[str, typer.Option(help=f"One of {', '.join(datasets.NAMES)}.")] = "digits",
    nm: Pattern = "2:8",
    method: Annotated[str, typer.Option(help=", ".join(trainer.METHODS))] = "bdwp",
    epochs: Annotated[int, typer.Option(min=1)] = trainer.Recipe.epochs,
    seed: Annotated[int, typer.Option(min=0)] = trainer.Recipe.seed,
    format: Annotated[str, typer.Option(help="fp16, or int8: quantised after training.")] = "fp16",
    folder: Annotated[Path | None, typer.Option(help="Where a 28 x 28 set's files are.")] = None,
    out: Annotated[Path, typer.Option(help="The packed network.")] = Path("network.safetensors"),
    force: Force = False,
):
    """Train a sparse perceptron and pack it; the same seed gives the same file.

    The networks that ship with Heddle: `heddle train --out sw/networks/digits-2of8.safetensors`,
    and `heddle train --format int8 --out sw/networks/digits-2of8-int8.safetensors`.
    """
    from rich.progress import track

    check_trainable(format)
    n, m = _pattern(nm)
    recipe = trainer.Recipe(n=n, m=m, method=method, epochs=epochs, seed=seed)
    dataset = datasets.load(data, folder)
    _writable(out, force)
    epoch_bar = iter(track(range(epochs), f"training on {data}", console=console))
    next(epoch_bar)
    layers = trainer.train(dataset, recipe, lambda *_: next(epoch_bar, None))
    notes = {"method": method, "nm": nm, "epochs": epochs, "seed": seed}
    trained = from_trained(layers, data, notes)
    network = quantise(layers, dataset, notes) if format == "int8" else trained
    network.save(out)
    exact = golden(Config("golden", 2, 2, network.format))
    before = accuracy(trained.float32(dataset.test_x), dataset.test_y)
    after = accuracy(network.run(dataset.test_x, exact)[-1], dataset.test_y)
    console.print(
        f"test accuracy {before:.2%} (float32), {after:.2%} ({format}, as devices compute it); "
        f"wrote {out}, {out.stat().st_size:,} bytes"
    )


@app.command()
def prune(
    array: Annotated[Path, typer.Argument(help="A dense .npy array.")],
    out: Annotated[Path, typer.Argument(help="The pruned .npy array.")],
    nm_: Pattern = "2:8",
    axis: Annotated[int, typer.Option(help="The axis of the groups (K).")] = 0,
    force: Force = False,
):
    """Keep the N largest magnitudes of every M: `heddle prune w.npy sparse.npy --nm 2:8`."""
    n, m = _pattern(nm_)
    pruned = nm.prune(_read(array), n, m, axis)
    with _writable(out, force).open("wb") as file:
        np.save(file, pruned)
    console.print(f"wrote {out}: {np.count_nonzero(pruned):,} of {pruned.size:,} kept")


@app.command()
def check(
    array: Annotated[Path, typer.Argument(help="A .npy array.")],
    nm_: Pattern = "2:8",
    axis: Annotated[int, typer.Option(help="The axis of the groups (K).")] = 0,
):
    """Say whether an array is N:M, and where it is not."""
    n, m = _pattern(nm_)
    nm.check(_read(array), n, m, axis)
    console.print(f"{array} is {n}:{m} along axis {axis}")


@app.command()
def pack(
    array: Annotated[Path, typer.Argument(help="A .npy matrix [K, C].")],
    out: Annotated[Path, typer.Argument(help="The packed .safetensors file.")],
    nm_: Annotated[str | None, typer.Option("--nm", help="N:M; without it, any zeros.")] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS))] = "fp16",
    force: Force = False,
):
    """Pack a matrix: `heddle pack sparse.npy w.safetensors --nm 2:8 --format fp16`."""
    n, m = _pattern(nm_) if nm_ else (None, 8)
    dense = _read(array)
    packing.check_range(dense, format)
    packed = packing.pack(dense, format, n, m)
    container.save(_writable(out, force), {"weights": packed})
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


@app.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="A packed file.")],
    out: Annotated[Path, typer.Argument(help="The .npy matrix, float64.")],
    name: Annotated[str, typer.Option(help="Which matrix of the file.")] = "weights",
    force: Force = False,
):
    """Write a packed matrix out dense again."""
    matrices, _, _ = container.load(file)
    if name not in matrices:
        raise FormatError(f"{file} has no matrix {name!r}; it has {', '.join(matrices)}")
    with _writable(out, force).open("wb") as target:
        np.save(target, packing.to_dense(matrices[name]))
    console.print(f"wrote {out}")


@app.command()
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


@app.command()
def verilog(
    preset_name: Annotated[
        str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")
    ] = "small",
    out: Annotated[Path, typer.Option(help="Folder.")] = Path("build/verilog"),
):
    """Write standalone Verilog, with ports, registers and configuration as JSON beside it."""
    from ..hw import verilog as writer

    config = preset(preset_name)
    _folder(out)
    with console.status(f"generating {preset_name}"):
        paths = writer.write(config, out)
    for path in paths:
        console.print(f"wrote {path}")


for _command in (cli_boards.bitstream, cli_boards.load, cli_boards.boards):
    app.command()(_command)


@app.command()
def presets():
    """List the configurations."""
    table = Table()
    rows = [config.describe() for config in PRESETS.values()]
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


@app.command()
def docs(out: Annotated[Path, typer.Option(help="Folder.")] = Path("docs")):
    """Write the pages that are generated from the code."""
    from . import docs as pages

    _folder(out)
    for name, text in pages.PAGES.items():
        (out / name).write_text(text())
        console.print(f"wrote {out / name}")
