"""What a run showed, in the terminal: nothing is wider than 80 columns."""

from rich.text import Text

from ..host.causes import CAUSES
from ..report import demo
from ..report.demo import COVERED, MODELLED, UNCOUNTED, called
from ..report.explain import SHORT
from .screen import Table, console, say

NONE = "–"
CYCLES = ("", "B x K x C", "N:M", "dense", "used", "sparse", "used", "gain", "ideal")


def show(report: dict) -> None:
    """The report of `sw.report.demo.run`."""
    _show_what(report)
    counted = report["total"]["speedup"] is not None
    console.print(_cycles(report) if counted else _patterns(report))
    if counted:
        say()
        say("Where the sparse run's cycles went (heddle explain says more)")
        console.print(_causes(report))
        for row in report["layers"]:
            if row["ideal"] and row["speedup"] > row["ideal"]:
                say(f"Layer {row['layer']} gains more than the ideal: its dense run wastes cycles.")
    if "gmacs" in report["total"]:
        _show_speed(report)
    say()
    if not counted:
        say(UNCOUNTED)
    elif report["modelled"]:
        say(MODELLED)
    else:
        say("Cycles from the first issue to the last output, by the hardware's counters.")
    _show_outcome(report)


def show_program(report: dict) -> None:
    """The report of `sw.report.programs.run`."""
    whole, stalls = report["whole"], demo.STALLS
    _show_what(report, f", as one program for {whole['batch']} at a time")
    table = Table(*CYCLES, left=0)
    waits = Table("", *(f"{cause} stall" for cause in stalls), "vector unit", left=0)
    for row in report["layers"]:
        dense, used, gain = NONE, NONE, NONE
        if row["dense"]:
            dense, used = f"{row['dense']:,}", f"{row['dense_utilisation']:.1%}"
            gain = f"{row['speedup']:.2f}"
        sparse = f"{row['sparse']:,}", f"{row['utilisation']:.1%}"
        table.add_row(*_product(row), dense, used, *sparse, gain, _ideal(row))
        vector = NONE if row["vector"] is None else f"{row['vector']:,}"
        waits.add_row(str(row["layer"]), *(f"{row['stalls'][c]:,}" for c in stalls), vector)
    console.print(table)
    say("Each layer alone: B pixels of all images, K of a window, C channels")
    for row in report["layers"]:
        if row["speedup"] and row["ideal"] and row["speedup"] > row["ideal"]:
            say(f"Layer {row['layer']} gains more than the ideal: its dense run wastes cycles.")
    if not report["modelled"]:
        say()
        say("Cycles that the sparse run waited, and that the layer takes beside its product")
        console.print(waits)
    say()
    say(
        f"The whole program: {whole['batch_cycles']:,} cycles for {whole['batch']} images, "
        f"{whole['over_products']:.3f} x its products alone,"
    )
    say(f"and {whole['utilisation']:.1%} of the multipliers used")
    if "batch_ms" in whole:
        say(
            f"At {report['clock_mhz']:g} MHz: {whole['batch_ms']:,.3f} ms, "
            f"{whole['images_per_second']:,.0f} images a second"
        )
    if report["modelled"]:
        say(MODELLED)
    _show_outcome(report)


def _show_what(report: dict, how: str = "") -> None:
    """What ran, and on what."""
    c = report["configuration"]
    say(
        f"{report['data']}, {report['images']:,} images on {c['name']} "
        f"({c['rows']} x {c['columns']} {c['format']}){how}",
        style="bold",
    )


def _show_outcome(report: dict) -> None:
    """How many images were classified rightly, and whether every bit was right."""
    a = report["accuracy"]
    device = called(report["modelled"])
    say(
        f"Accuracy: {device} {a['hardware']:.2%}, golden model {a['golden']:.2%}, "
        f"float32 {a['float32']:.2%}"
    )
    compared = f"{report['compared']:,} outputs"
    if report["mismatches"]:
        say(
            f"{report['mismatches']:,} of {compared} differ from the golden model",
            style="red",
        )
    else:
        say(
            f"Bit-exact: all {compared} of {device} and golden model agree in every bit",
            style="green",
        )


def _product(row: dict) -> tuple[str, ...]:
    return str(row["layer"]), "x".join(map(str, row["shape"])), row["pattern"] or NONE


def _ideal(row: dict) -> str:
    return f"{row['ideal']:.2f}" if row["ideal"] else NONE


def _patterns(report: dict) -> Table:
    """The layers of a device that counts nothing."""
    table = Table("", "B x K x C", "N:M", "ideal", left=0)
    for row in report["layers"]:
        table.add_row(*_product(row), _ideal(row))
    return table


def _cycles(report: dict) -> Table:
    """Cycles and the multipliers' utilisation, dense and sparse."""
    table = Table(*CYCLES, left=0)

    def counts(row: dict) -> list[str]:
        return [
            *(f"{row['dense']:,}", f"{row['dense_utilisation']:.1%}"),
            *(f"{row['sparse']:,}", f"{row['utilisation']:.1%}"),
            f"{row['speedup']:.2f}",
        ]

    for row in report["layers"]:
        table.add_row(*_product(row), *counts(row), _ideal(row))
    table.add_section()
    table.add_row("all", "", "", *counts(report["total"]), _ideal(report["total"]))
    return table


def _causes(report: dict) -> Table:
    table = Table("", *(SHORT[cause] for cause in CAUSES), left=0)
    for row in report["layers"]:
        shares = [row["causes"][cause] / row["sparse"] for cause in CAUSES]
        table.add_row(str(row["layer"]), *(f"{s:.1%}" if s else NONE for s in shares))
    return table


def _show_speed(report: dict) -> None:
    """Times and rates at the report's clock."""
    say()
    say(f"At {report['clock_mhz']:g} MHz")
    table = Table("", "dense", "sparse", "effective", "dense-equivalent", left=0)
    last = {"layer": "all"} | report["total"]
    for row in [*report["layers"], last]:
        if row is last:
            table.add_section()
        table.add_row(
            str(row["layer"]),
            *(f"{row[time]:,.3f} ms" for time in ("dense_ms", "sparse_ms")),
            *(f"{row[rate]:,.2f} GMAC/s" for rate in ("gmacs", "equivalent_gmacs")),
        )
    console.print(table)
    say("Effective: multiplications by kept weights; dense-equivalent: all B x K x C.")


def show_coverage(summary: dict) -> None:
    """Functional coverage: bins hit, and full values of each dimension."""
    say()
    say(
        f"Functional coverage: {summary['hit']:,} of {summary['bins']:,} cross bins, "
        f"{summary['products']:,} products",
        style="bold",
    )
    table = Table("", "cross bins", *COVERED.values())
    for name, row in summary["formats"].items():
        parts = (f"{row[field]['full']}/{row[field]['values']}" for field in COVERED)
        hit = Text(f"{row['hit']:,}/{row['bins']:,}", "" if row["hit"] == row["bins"] else "red")
        table.add_row(name, hit, *parts)
    console.print(table)
    if movers := summary.get("movers"):
        parts = (f"{row['hit']}/{row['bins']} {name}" for name, row in movers["patterns"].items())
        say(
            f"Programs: {movers['hit']:,} of {movers['bins']:,} cross bins of pattern, stride, "
            f"padding, store and engine beside the others ({', '.join(parts)})"
        )
    if summary["missing"]:
        say(f"{len(summary['missing']):,} cross bins were not seen", style="red")
