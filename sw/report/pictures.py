"""Pictures in files, drawn by matplotlib, which not everybody has."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataError, FormatError
from ..lib import files

KINDS = (".svg", ".png")


def check(path: Path) -> None:
    """Raises `FormatError` unless a picture can be called `path`, `DataError` unless one can be
    drawn."""
    if path.suffix not in KINDS:
        raise FormatError(f"a picture is one of {', '.join(KINDS)}, not {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise DataError("pictures are drawn by matplotlib: pip install heddle[sim]") from None


@contextmanager
def drawn(path: Path, width: float, height: float, style: dict | None = None, **more) -> Iterator:
    """Axes of a picture of so many inches, which is written when it is done; `style` is of
    matplotlib's parameters, `more` is for its `savefig`. Raises as `check`."""
    check(path)
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    with matplotlib.rc_context(style or {}):
        figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
        axes.spines["top"].set_visible(False)
        try:
            yield axes
            with files.replacing(path) as file:
                figure.savefig(file, format=path.suffix[1:], dpi=150, **more)
        finally:
            plt.close(figure)
