"""Loss and accuracy of a training, epoch by epoch, as a picture."""

from pathlib import Path

from .pictures import drawn

LOSS, ACCURACY = "#b3541e", "#1f6f8b"


def draw(path: Path, curve: list[tuple[float, float]]) -> None:
    """Write the picture of mean losses and of accuracies, from 0 to 1."""
    with drawn(path, 7.2, 3.6) as axes:
        from matplotlib.ticker import MaxNLocator

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
        beside.spines["top"].set_visible(False)
