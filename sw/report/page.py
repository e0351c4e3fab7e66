"""The report of a run as one HTML page that needs nothing else."""

import io
import json
import math
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..host.causes import CAUSES
from ..lib import files
from .demo import COVERED, MODELLED, STALLS, UNCOUNTED, called
from .explain import SHORT

TEMPLATE = Path(__file__).with_suffix(".html")
DENSE, SPARSE, IDEAL = "#999999", "#0072b2", "#d55e00"
WAITS = {"drain": "#e69f00", "output": "#f0e442", "schedule": "#009e73", "host": "#cc79a7"}
"""Colours that are told apart with any colour vision (Okabe and Ito), hatched besides."""
HATCHES = {"drain": "//", "output": "", "schedule": "\\\\", "host": ".."}


def render(report: dict) -> str:
    """The page for a report of `demo`, one of `programs` in its "program", or only that.

    Raises `DataError` if the plotting packages miss.
    """
    try:
        import jinja2
        import matplotlib
    except ImportError as missing:
        raise DataError(f"the report needs {missing.name}: pip install heddle[sim]") from None
    matplotlib.use("svg")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ran = report if "layers" in report else report["program"]
    shown = {
        "r": report,
        "ran": ran,
        "p": report.get("program"),
        "device": called(ran["modelled"]),
        "covered": COVERED,
        "modelled": MODELLED,
        "uncounted": UNCOUNTED,
        "waits": STALLS,
    }
    if "layers" in report:
        shown["counted"] = report["total"]["speedup"] is not None
        if shown["counted"]:
            shown |= {
                "causes": SHORT,
                "explained": CAUSES,
                "cycles": _cycles(report),
                "stalls": _stalls(report),
            }
    return environment.get_template(TEMPLATE.name).render(shown)


def _figure(height: float):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.2, height), layout="constrained")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure) -> str:
    import matplotlib.pyplot as plt

    text = io.StringIO()
    figure.savefig(
        text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    plt.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _unit(largest: int) -> tuple[int, str]:
    """What an axis counts in, and its name, so that its labels are short."""
    return (1_000_000, "million ") if largest >= 1_000_000 else (1, "")


def _legend(axes, columns: int) -> None:
    """The legend above the bars, where it hides none."""
    named = zip(*axes.get_legend_handles_labels(), strict=True)
    handles = sorted((handle for handle, _ in named), key=lambda h: not hasattr(h, "patches"))
    axes.legend(
        handles=handles, frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1)
    )


def _cycles(report: dict) -> str:
    """Cycles of each layer: dense, sparse, and what N:M would give at best."""
    from matplotlib.ticker import MaxNLocator

    rows = report["layers"]
    unit, of = _unit(max(row["dense"] for row in rows))
    figure, axes = _figure(1.4 + 0.8 * len(rows))
    for i, row in enumerate(rows):
        axes.barh(i - 0.2, row["dense"] / unit, 0.36, color=DENSE, label="dense" if not i else None)
        axes.barh(i + 0.2, row["sparse"] / unit, 0.36, color=SPARSE, label="N:M" if not i else None)
        axes.plot(
            [row["dense"] / (row["ideal"] or math.inf) / unit] * 2,  # N = 0: no cycles
            [i + 0.02, i + 0.38],
            color=IDEAL,
            linewidth=2.5,
            label="dense / ideal" if not i else None,
        )
        faster = f" {row['speedup']:.2f}×"
        right = max(row["sparse"], row["dense"] / (row["ideal"] or math.inf)) / unit
        axes.annotate(faster, (right, i + 0.2), va="center", fontsize=9)
    names = [f"{r['pattern']}   {r['shape'][1]} → {r['shape'][2]}" for r in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.xaxis.set_major_formatter(lambda v, _: f"{v:,g}")
    axes.set_xlabel(f"{of}cycles, by the {called(report['modelled'])}'s counter")
    _legend(axes, 3)
    return _svg(figure)


def _stalls(report: dict) -> str:
    """Where a layer's cycles went: useful slots, and each cause of waiting."""
    rows = report["layers"]
    figure, axes = _figure(1.2 + 0.5 * len(rows))
    for i, row in enumerate(rows):
        waited = sum(row["stalls"].values())
        left = 0.0
        parts = {"issuing": row["sparse"] - waited, **row["stalls"]}
        for name, cycles in parts.items():
            share = cycles / row["sparse"]
            axes.barh(
                *(i, share, 0.6),
                left=left,
                color=WAITS.get(name, SPARSE),
                hatch=HATCHES.get(name),
                edgecolor="white",
                linewidth=0,
                label=name if not i else None,
            )
            left += share
    axes.set_yticks(range(len(rows)), [f"layer {r['layer']}" for r in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda v, _: f"{v:.0%}")
    _legend(axes, 5)
    return _svg(figure)


def write(report: dict, folder: Path) -> tuple[Path, Path]:
    """``report.json`` and ``report.html`` in `folder`; returns their paths."""
    as_json, as_html = folder / "report.json", folder / "report.html"
    text = json.dumps(report, indent=2, default=_plain)
    files.write(as_json, text + "\n")
    files.write(as_html, render(json.loads(text)))
    return as_json, as_html


def _plain(value: object) -> object:
    """What JSON does not know as what it knows: NumPy's numbers and arrays, paths."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a report cannot hold {value!r}")
