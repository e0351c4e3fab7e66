"""Which mutants are tried: a seeded sample of each half of the project."""

import random
from pathlib import Path

from .operators import Mutant, mutants, parses

HALVES = {
    "hw": ("hw/**/*.py",),
    "sw": ("sw/**/*.py", "sim/golden/*.py"),
}
"""Gateware; host and golden model."""


def modules(root: Path, half: str) -> list[Path]:
    """The modules of a half that hold anything, in order."""
    found = [path for pattern in HALVES[half] for path in root.glob(pattern)]
    return sorted(path for path in found if path.name != "__init__.py")


def sample(root: Path, half: str, count: int, seed: int) -> list[Mutant]:
    """`count` different mutants of `half`: a module by its number of them, then a kind, then one.

    A kind is chosen before a place, for there are many constants and few checks. No line has two.
    """
    chance = random.Random(f"{half} {seed}")
    sources = {str(path.relative_to(root)): path.read_bytes() for path in modules(root, half)}
    found = {module: mutants(module, source) for module, source in sources.items()}
    names = [module for module in found if found[module]]
    weights = [len(found[module]) for module in names]
    chosen: dict[tuple[str, int], Mutant] = {}
    while len(chosen) < min(count, sum(weights) // 2):
        (module,) = chance.choices(names, weights)
        kind = chance.choice(sorted({mutant.kind for mutant in found[module]}))
        mutant = chance.choice([m for m in found[module] if m.kind == kind])
        if (module, mutant.line) in chosen or not parses(mutant.applied(sources[module])):
            continue
        chosen[module, mutant.line] = mutant
    return list(chosen.values())
