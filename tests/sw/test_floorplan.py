"""Multipliers get the places that the floorplan gives them, and no others."""

import json
from dataclasses import replace

import pytest

from heddle.hw.config import ConfigError
from heddle.hw.platforms import board
from heddle.hw.platforms.floorplan import ECP5_85_BANDS, ecp5_85
from heddle.sw.flow import floorplan
from heddle.sw.flow.toolchain import BuildError

LARGE = [build for build in board("ulx3s-85f").builds if build.floorplan]


def netlist(path, owners):
    """A netlist with a multiplier for each of `owners`."""
    cells, nets = {}, {"clk": {"bits": [1]}}
    for n, owner in enumerate(owners):
        bits = [10 * n + 2, 10 * n + 3]
        cells[f"cell{n}"] = {
            "type": "MULT18X18D",
            "attributes": {},
            "port_directions": {"A0": "input", "P0": "output", "P1": "output"},
            # An operand may come from a neighbour.
            "connections": {"A0": [2], "P0": [bits[0]], "P1": [bits[1]]},
        }
        nets[f"core.{owner}.mac.product{n}"] = {"bits": [bits[0]]}
    path.write_text(json.dumps({"modules": {"top": {"cells": cells, "netnames": nets}}}))
    return path


def places(path):
    cells = json.loads(path.read_text())["modules"]["top"]["cells"]
    return [cell["attributes"].get("BEL") for cell in cells.values()]


def test_places(tmp_path):
    path = netlist(tmp_path / "netlist.json", ["pe_1_0", "pe_1_01", "pe_0_0", "pe_1_0"])
    floorplan.place(path, "top", {"pe_0_0": ["a", "b"], "pe_1_0": ["c", "d", "e"]})
    assert places(path) == ["c", None, "a", "d"]


def test_multipliers_and_sites_must_agree(tmp_path):
    path = netlist(tmp_path / "netlist.json", ["pe_0_0", "pe_0_0"])
    with pytest.raises(BuildError, match="pe_0_0 has more multipliers than sites: 1"):
        floorplan.place(path, "top", {"pe_0_0": ["a"]})
    with pytest.raises(BuildError, match="no multiplier was found for pe_0_1"):
        floorplan.place(path, "top", {"pe_0_0": ["a", "b"], "pe_0_1": ["c"]})


@pytest.mark.parametrize("build", LARGE, ids=lambda build: build.config.name)
def test_ecp5(build):
    config, sites = build.config, build.floorplan(build.config)
    used = [site for of in sites.values() for site in of]
    assert len(set(used)) == len(used)
    # A column's neighbours lie in the same band or in the next one.
    band = {name: ECP5_85_BANDS.index(int(of[0].split("/")[1][1:])) for name, of in sites.items()}
    for column in range(config.columns):
        bands = [band[f"pe_{row}_{column}"] for row in range(config.rows)]
        # Four rows are two in each of two bands, and the third one is the epilogue's.
        assert bands == sorted(bands) and set(bands) == ({0, 1} if config.rows == 4 else {0, 1, 2})
    assert band["output_0"] == 2


def test_too_large():
    with pytest.raises(ConfigError, match="63 multipliers do not fit into a band of 52"):
        ecp5_85(replace(board("ulx3s-85f").build("int8_12x12").config, rows=13))
