"""Give the multipliers of a netlist their places on the chip."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..lib import files
from .toolchain import BuildError

MULTIPLIERS = ("MULT18X18D",)


def place(netlist: Path, top: str, sites: Mapping[str, Sequence[str]]) -> None:
    """Write into `netlist` (Yosys' JSON) where the multipliers of some instances lie.

    `sites` names nextpnr's sites by instance; their first ones are used. A multiplier belongs to
    the instance in whose nets its product ends; others are left to the placer. Raises
    `BuildError` if an instance has no multiplier, or more than sites.
    """
    design = json.loads(netlist.read_text(encoding="utf-8"))
    module = design["modules"][top]
    instance = re.compile(r"\b(" + "|".join(map(re.escape, sites)) + r")\b")
    owners: dict[int, str] = {}
    for name, net in module["netnames"].items():
        if found := instance.search(name):
            owners.update(dict.fromkeys(net["bits"], found[1]))
    free = {name: list(reversed(of)) for name, of in sites.items()}
    placed = set()
    for cell in module["cells"].values():
        if cell["type"] not in MULTIPLIERS:
            continue
        outputs = {
            bit
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for bit in bits
        }
        for owner in {owners[bit] for bit in outputs & owners.keys()}:
            if not free[owner]:
                raise BuildError(f"{owner} has more multipliers than sites: {len(sites[owner])}")
            cell["attributes"]["BEL"] = free[owner].pop()
            placed.add(owner)
    if missing := sorted(sites.keys() - placed):
        raise BuildError(f"no multiplier was found for {', '.join(missing)}")
    files.write(netlist, json.dumps(design))
