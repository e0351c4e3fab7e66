"""Loss and accuracy of a training, epoch by epoch, as a picture."""

from pathlib import Path

from ..errors import DataError, FormatError
from ..lib import files

KINDS = (".svg", ".png")
LOSS, ACCURACY = "#b3541e", "#1f6f8b"


def check(path: Path) -> None:
    """Raises `FormatError` unless a picture can be called `path`, `DataError` unless one can be
    drawn."""
    if path.suffix not in KINDS:
        raise FormatError(f"a picture is one of {', '.join(KINDS)}, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise DataError("pictures are drawn by matplotlib: pip install heddle[sim]") from None


def draw(path: Path, curve: list[tuple[float, float]]) -> None:
    """Write the picture of mean losses and of accuracies, from 0 to 1."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    epochs = range(1, len(curve) + 1)
    marker = "o" if len(curve) == 1 else ""
    axes.plot(epochs, [loss for loss, _ in curve], color=LOSS, marker=marker)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss", color=LOSS)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    beside = axes.twinx()
    beside.plot(epochs, [100 * right for _, right in curve], color=ACCURACY, marker=marker)
    beside.set_ylabel("accuracy, %", color=ACCURACY)
    for side in ("top",):
        axes.spines[side].set_visible(False)
        beside.spines[side].set_visible(False)
    with files.replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
    plt.close(figure)
