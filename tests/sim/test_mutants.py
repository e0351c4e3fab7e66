"""Mutants: each kind is what it says, a sample stays the same, and survivors are judged."""

import json
import subprocess
from pathlib import Path

import pytest

from heddle.sim.mutants import belongs, results
from heddle.sim.mutants.operators import mutants, parses
from heddle.sim.mutants.sample import HALVES, modules, sample
from heddle.sim.mutants.trial import Copy
from heddle.sw.errors import HeddleError

ROOT = Path(__file__).parents[2]


def changed(source: str) -> set[tuple[str, str]]:
    """Kind and whole text of each mutant."""
    text = source.encode()
    return {(m.kind, m.applied(text).decode()) for m in mutants("hw/x.py", text)}


@pytest.mark.parametrize(
    ("source", "kind", "after"),
    [
        ("a = b < c", "comparison changed", "a = ((b) <= (c))"),
        ("a = b == c", "comparison changed", "a = ((b) != (c))"),
        ("a = b + c", "operator changed", "a = ((b) - (c))"),
        ("a = b & c", "operator changed", "a = ((b) | (c))"),
        ("a = b and c", "operator changed", "a = ((b) or (c))"),
        ("a = ~b", "sign or negation dropped", "a = (b)"),
        ("a = -b", "sign or negation dropped", "a = (b)"),
        ("a = 7", "constant changed", "a = 8"),
        ("a = 1", "constant changed", "a = 0"),
        ("a = True", "constant changed", "a = False"),
        ("a = Mux(b, c, d)", "choices swapped", "a = Mux(b, d, c)"),
        ("a = b.any()", "function swapped", "a = b.all()"),
        ("if a:\n    b()", "condition negated", "if not (a):\n    b()"),
        ("if a:\n    raise E('é')", "check ignored", "if a:\n    pass"),
        ("'é'; f(a)", "statement left out", "'é'; pass"),
        ("m.d.sync += a.eq(b)", "assignment left out", "pass"),
        ("m.d.comb += [a.eq(b), c.eq(d)]", "assignment left out", "m.d.comb += [*(), c.eq(d)]"),
        ("with m.If(a):\n    b()", "condition negated", "with m.If((a) == 0):\n    b()"),
    ],
)
def test_kinds(source, kind, after):
    assert (kind, after) in changed(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""Words 1 + 1."""',
        "import a",
        "a: list[1]",
        "def f(a: 1): ...",
        "def __repr__(self):\n    return 1",
        "b = f'{a + 1}'",
        "super().__init__({'a': In(1)})",
    ],
)
def test_what_is_left_alone(source):
    assert not changed(source)


def test_a_sample_is_seeded_and_no_line_has_two():
    one, again, other = (sample(ROOT, "sw", 30, seed) for seed in (1, 1, 2))
    assert one == again != other and len(one) == 30
    assert len({(m.module, m.line) for m in one}) == 30
    for mutant in one:
        text = (ROOT / mutant.module).read_bytes()
        assert parses(mutant.applied(text)) and mutant.applied(text) != text
        assert text[mutant.start : mutant.stop].decode() == mutant.before


def test_what_belongs_is_there():
    named = {run[0] for runs in belongs.MORE.values() for run in runs} | set(belongs.MORE)
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("half", HALVES)
def test_every_module_has_tests(half):
    without = [str(p.relative_to(ROOT)) for p in modules(ROOT, half)]
    without = [m for m in without if not belongs.tests_of(ROOT, m)]
    assert not without, f"say in sim/mutants/belongs.py which tests belong to {without}"


def project(folder: Path, passes: str) -> Path:
    """A project of one module and one test of it."""
    (folder / "tests" / "sw").mkdir(parents=True)
    (folder / "tests" / "sim").mkdir()
    (folder / "sw").mkdir()
    (folder / "tests" / "sim" / "test_testbenches.py").write_text("")
    (folder / "sw" / "add.py").write_text("def add(a, b):\n    return a + b\n\n\nUNUSED = 3\n")
    (folder / "tests" / "sw" / "test_add.py").write_text(
        f"from sw.add import add\n\n\ndef test_add():\n    assert add(2, 3) == {passes}\n"
    )
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def test_a_mutant_is_found_or_survives(tmp_path):
    root = project(tmp_path / "project", "5")
    copy = Copy(root, tmp_path / "copy")
    text = (root / "sw" / "add.py").read_bytes()
    outcome = {m.kind: copy.try_(m) for m in mutants("sw/add.py", text)}
    assert outcome["operator changed"]["found"] and not outcome["constant changed"]["found"]
    assert outcome["operator changed"]["how"] == "a test failed"
    assert (tmp_path / "copy" / "tree" / "sw" / "add.py").read_bytes() == text


def test_nothing_is_concluded_from_tests_that_fail_anyway(tmp_path):
    root = project(tmp_path / "project", "6")
    text = (root / "sw" / "add.py").read_bytes()
    with pytest.raises(HeddleError, match="without any mutant, .*test_add.py does not pass"):
        Copy(root, tmp_path / "copy").try_(mutants("sw/add.py", text)[0])


def row(found: bool, **more) -> dict:
    names = ("module", "place", "kind", "before", "after")
    return dict.fromkeys(names, "x") | {"line": 1, "found": found} | more


def test_what_counts():
    rows = [row(True), row(True), row(False, verdict="equivalent"), row(False, verdict="speed")]
    assert results.share_found(rows) == 2 / 3 and not results.owed(rows)
    unjudged = [row(True), row(False)]
    assert results.share_found(unjudged) == 1 / 2 and results.owed(unjudged) == [unjudged[1]]
    earlier = [row(False, verdict="speed", why="slower", line=9)]
    assert results.judged([row(False)], earlier) == [row(False, verdict="speed", why="slower")]


@pytest.mark.parametrize("half", HALVES)
def test_kept_results_hold(half):
    kept = json.loads((ROOT / results.FILE).read_text(encoding="utf-8"))
    if half not in kept:
        pytest.skip("this half has not been tried yet: `make mutants` keeps what becomes of it")
    rows = kept[half]
    assert len(rows) >= 100 and len({results.key(r) for r in rows}) == len(rows)
    assert results.share_found(rows) >= results.ENOUGH
    assert not results.owed(rows)
    assert all(r["why"] for r in rows if not r["found"])
