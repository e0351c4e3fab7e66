"""A component in Verilator with C++ of these tests, as a library."""

import ctypes
from pathlib import Path

from amaranth.lib import wiring

from heddle.hw import verilog
from heddle.sim.engines import verilator


def compiled(component: wiring.Component, source: str) -> ctypes.CDLL:
    """`component` with the file `source` beside this one, which includes ``Vtop.h``."""
    path = Path(__file__).with_name(source)
    built = verilator.Build(
        verilog=verilog.convert(component, verilog.TOP),
        top=verilog.TOP,
        sources=(path,),
        output=f"{path.stem}.so",
        compile=("-DVL_TIME_CONTEXT",),
    )
    return verilator.library(verilator.build(built))
