"""`python -m heddle.sim.mutants`: try a seeded sample of mutants, keep what became of them."""

import argparse
import queue
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ...sw.errors import HeddleError
from . import results
from .operators import Mutant
from .sample import HALVES, sample
from .trial import Copy

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m heddle.sim.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="mutants of each half")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--half", choices=HALVES, action="append", help="only this one")
    parser.add_argument("--only", default="", help="only modules whose path begins so")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="show the sample, run nothing")
    parser.add_argument("--survivors", action="store_true", help="try only what survived before")
    parser.add_argument("--resume", action="store_true", help="leave out what was tried before")
    parser.add_argument("--out", type=Path, default=ROOT / results.FILE)
    return parser.parse_args()


def main() -> int:
    """Exit status 0 if enough was found in each half and no test is owed."""
    options, console = arguments(), Console()
    kept = results.read(options.out)
    wanted: list[tuple[str, Mutant]] = []
    for half in options.half or HALVES:
        chosen = sample(ROOT, half, options.count, options.seed)
        before = {results.key(row): row for row in kept.get(half, [])}
        fresh = []
        for mutant in chosen:
            row = before.get(results.key(results.entry(mutant, {})))
            again = options.survivors and row is not None and not row["found"]
            first = row is None or not (options.survivors or options.resume)
            if mutant.module.startswith(options.only) and (again or first):
                fresh.append((half, mutant))
        mine = {results.key(results.entry(mutant, {})) for mutant in chosen}
        kept[half] = [row for row in kept.get(half, []) if results.key(row) in mine]
        wanted += fresh
    if options.list:
        for _, mutant in wanted:
            say(console, results.line(results.entry(mutant, {})))
        return 0
    kept |= {"seed": options.seed, "count": options.count}
    try:
        run(wanted, kept, options, console)
    except HeddleError as reason:
        console.print(str(reason), style="red", markup=False)
        return 2
    return verdict(kept, console)


def run(wanted, kept: dict, options: argparse.Namespace, console: Console) -> None:
    """Try all of `wanted` in as many copies as there are jobs; results are kept after each."""
    copies: queue.Queue[Copy] = queue.Queue()
    for number in range(options.jobs):
        copies.put(Copy(ROOT, ROOT / "build" / "mutants" / str(number)))

    def attempt(half: str, mutant: Mutant) -> tuple[str, dict]:
        copy = copies.get()
        try:
            return half, results.entry(mutant, copy.try_(mutant))
        finally:
            copies.put(copy)

    with Progress(console=console) as progress, ThreadPoolExecutor(options.jobs) as pool:
        task = progress.add_task("mutants", total=len(wanted))
        for done in as_completed([pool.submit(attempt, *one) for one in wanted]):
            half, row = done.result()
            rows = [old for old in kept[half] if results.key(old) != results.key(row)]
            kept[half] = rows + results.judged([row], kept[half])
            kept[half].sort(key=lambda row: (row["module"], row["line"], row["kind"]))
            results.write(options.out, kept)
            progress.advance(task)
            if not row["found"]:
                say(progress.console, f"survived: {results.line(row)}")


def say(console: Console, line: str) -> None:
    """A line of somebody's source, as it is."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def verdict(kept: dict, console: Console) -> int:
    """Say what was found; 0 if it is enough."""
    good = True
    for half in HALVES:
        rows = kept.get(half, [])
        share, debts = results.share_found(rows), results.owed(rows)
        console.print(f"{half}: {share:.1%} of {len(rows)} found, {len(debts)} tests owed")
        for row in debts:
            line = (
                f"  {row['module']}:{row['line']} {row['kind']}: {row['before']} -> {row['after']}"
            )
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        good &= share >= results.ENOUGH and not debts
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
