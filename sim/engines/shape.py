"""Generated Verilog in the shape in which Verilator makes the fastest program of it.

Amaranth and Yosys write a register as two processes: a combinational one forms what it is to hold
next, and a clocked one takes that. So the value is copied twice in every cycle, changed or not.
Here both become one clocked process, which touches a register only when it is loaded, and forms
what it is loaded with only then. And they write a memory's contents word by word, which becomes
megabytes of C++; here words that are alike are set in a loop. Nothing else changes: neither names
nor what a register or a memory holds.
"""

import re
from itertools import groupby

NAME = r"(?:\\\S+|\w+)"
MODULE = re.compile(r"^module .*?^endmodule", re.M | re.S)
NEXT = re.compile(
    r"^  always @\* begin\n    if \(\\\$auto\$verilog_backend\S+ \) begin end\n"
    r"(?P<body>(?:    .*\n)+)  end\n",
    re.M,
)
"""What a register is to hold next. The `if` is Yosys's: it makes the process run at the start."""
REGISTER = re.compile(
    rf"^  always @\(posedge (?P<clock>{NAME}) *\)\n    (?P<held>{NAME}) *<= (?P<next>{NAME}) *;\n",
    re.M,
)
ASSIGNED = re.compile(rf"^(?P<indent> +)(?P<name>{NAME}) *(?P<bits>\[[\d:]+\])? +=(?= )", re.M)
WORD = re.compile(NAME)
CONTENTS = re.compile(rf"^  initial begin\n(?:    {NAME} *\[\d+\] = .*;\n)+  end\n", re.M)
CELL = re.compile(rf"^    (?P<memory>{NAME}) *\[(?P<address>\d+)\] = (?P<value>.*);\n", re.M)
LOOP = 100
"""Words alike that become a loop: of fewer Verilator would make single statements again."""


def shaped(verilog: str) -> str:
    """`verilog`, to be given to Verilator."""
    return merged(filled(verilog))


def filled(verilog: str) -> str:
    """`verilog` with loops for what its memories hold at first, where many words are alike."""
    return CONTENTS.sub(lambda initial: _filled(initial[0]), verilog)


def _filled(initial: str) -> str:
    lines = ["  initial begin\n"]
    for _, run in groupby(CELL.finditer(initial), lambda cell: (cell["memory"], cell["value"])):
        cells = list(run)
        addresses = [int(cell["address"]) for cell in cells]
        first, last = addresses[0], addresses[-1]
        if len(cells) < LOOP or addresses != list(range(first, last + 1)):
            lines += [cell[0] for cell in cells]
        else:
            step = f"for (int at = {first}; at <= {last}; at = at + 1)"
            lines += [f"    {step} {cells[0]['memory']} [at] = {cells[0]['value']};\n"]
    return "".join([*lines, "  end\n"])


def merged(verilog: str) -> str:
    """`verilog` with each register whose next value nobody else reads in one process."""
    return MODULE.sub(lambda module: _merged(module[0]), verilog)


def _merged(module: str) -> str:
    forms = {}
    for process in NEXT.finditer(module):
        names = {assigned["name"] for assigned in ASSIGNED.finditer(process["body"])}
        if len(names) == 1:  # a second process for the same name makes it none's
            name = names.pop()
            forms[name] = None if name in forms else process
    if not forms:  # a netlist, say, which is long
        return module
    uses: dict[str, int] = {}
    for word in WORD.findall(module):
        uses[word] = uses.get(word, 0) + 1
    cuts: list[tuple[int, int, str]] = []
    for register in REGISTER.finditer(module):
        held, name = register["held"], register["next"]
        process = forms.get(name)
        if process is None:
            continue
        body, assignments = process["body"], len(ASSIGNED.findall(process["body"]))
        declared = re.search(
            rf"^  reg (?:signed )?(?:\[[\d:]+\] )?{re.escape(name)} *;\n", module, re.M
        )
        if not declared or uses[name] != assignments + 2:  # the declaration, and the register
            continue
        body = ASSIGNED.sub(lambda a, held=held: f"{a['indent']}{held} {a['bits'] or ''} <=", body)
        body = re.sub(rf"\A    {re.escape(held)}  <= +{re.escape(held)} ?;\n", "", body)
        clocked = f"  always @(posedge {register['clock']} ) begin\n{body}  end\n"
        cuts += [
            (*register.span(), clocked),
            (*process.span(), ""),
            (*declared.span(), ""),
        ]
    for begin, end, text in sorted(cuts, reverse=True):
        module = module[:begin] + text + module[end:]
    return module
