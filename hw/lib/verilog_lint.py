"""What Verilator's lint says of the generated Verilog, and why it does not matter: its waivers."""

WAIVERS = (
    (
        "DECLFILENAME",
        "*",
        "All modules are in one file, so that there is one file to carry along.",
    ),
    (
        "PROCASSINIT",
        "*",
        "A register's initial value is its state when the chip has been configured: FPGAs load it.",
    ),
    (
        "CASEINCOMPLETE",
        "*",
        "Each signal has been assigned before the case: a value not listed changes nothing.",
    ),
    (
        "WIDTHEXPAND",
        "*",
        "Operands have their own widths. Both are signed, or neither is, so Verilog extends them "
        "to the width of the result as it is meant.",
    ),
    (
        "WIDTHTRUNC",
        "Logical operator LOGNOT expects*",
        "'! vector' asks whether all of its bits are zero.",
    ),
    (
        "WIDTHTRUNC",
        "*Assign RHS's SHIFTR generates*",
        "A vector is shifted right to pick some of its bits: the others are meant to be cut off.",
    ),
    (
        "UNUSEDSIGNAL",
        "*",
        "Every member of an interface and every field of a structure is a wire, whether something "
        "reads it or not; carries of sums are written out before they are cut off.",
    ),
)
"""Rule, message, reason."""


def waivers(file: str) -> str:
    """A Verilator control file that waives what is known of the Verilog file `file`."""
    lines = [
        "// Waivers for the generated Verilog, each with its reason. Give this file to Verilator",
        f"// before {file}; your own files are linted as before.",
        "`verilator_config",
    ]
    for rule, match, reason in WAIVERS:
        matched = "" if match == "*" else f' -match "{match}"'
        lines += [f"// {reason}", f'lint_off -rule {rule} -file "*{file}"{matched}']
    return "\n".join([*lines, ""])
