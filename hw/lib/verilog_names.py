"""Names in Verilog: what may be a module's, that none is there twice, and what a port is called."""

import re
from collections.abc import Iterable
from itertools import pairwise

from ..errors import ConfigError

TOP = "heddle"
"""Name of the accelerator's top module, unless another is asked for."""
KEYWORDS = frozenset(
    """
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign
    default defparam design disable edge else end endcase endconfig endfunction endgenerate
    endmodule endprimitive endspecify endtable endtask event for force forever fork function
    generate genvar highz0 highz1 if ifnone incdir include initial inout input instance integer
    join large liblist library localparam macromodule medium module nand negedge nmos nor
    noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1
    pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat
    rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify specparam
    strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand
    trior trireg unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor xor
    """.split()
)
"""Source: IEEE 1364-2005, annex B."""


def check_names(top: str, prefix: str, modules: Iterable[str] = ()) -> None:
    """Raise `ConfigError` unless `top` can name a module and `prefix` begin a name, and none of
    `modules` has the name `top`."""
    if not re.fullmatch(r"[A-Za-z_]\w*", top, re.ASCII) or top in KEYWORDS:
        raise ConfigError(
            f"the top module cannot be called {top!r}: take letters, digits and _, no digit first, "
            "and no keyword of Verilog"
        )
    if prefix and not re.fullmatch(r"[A-Za-z_]\w*", prefix, re.ASCII):
        raise ConfigError(
            f"names cannot begin with {prefix!r}: take letters, digits and _, no digit first"
        )
    if top in modules:
        raise ConfigError(
            f"a part of the accelerator is called {top!r} already: give the top another name, or "
            "the parts another prefix"
        )


def port_name(signature, path: tuple[str | int, ...]) -> str:
    """What the member at `path` of a component with `signature` is called as a port: its path
    joined by two underscores, or by one inside a bus of AMBA's (`bus.axi`)."""
    name = str(path[0])
    for part, after in pairwise(path):
        if isinstance(part, str):
            member = signature.members[part]
            signature = member.signature if member.is_signature else None
        name += ("_" if getattr(signature, "standard_names", False) else "__") + str(after)
    return name
