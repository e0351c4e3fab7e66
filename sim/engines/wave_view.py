"""What to look at first in a waveform: a save file opens GTKWave on the signals that matter."""

import re
from functools import cached_property
from pathlib import Path

VIEW = {
    "commands in": ("s_axis_tvalid", "s_axis_tready", "s_axis_tlast", "s_axis_tdata"),
    "sequencer": (
        "core.sequencer.fsm_state",
        "core.sequencer.problem",
        "core.sequencer.write__valid",
        "core.sequencer.write__target",
        "core.sequencer.run__valid",
        "core.sequencer.run__ready",
        "core.sequencer.response__valid",
    ),
    "issue": (
        "core.issuer.valid",
        "core.issuer.load",
        "core.issuer.last",
        "core.issuer.activation_address",
        "core.issuer.slot_address",
        "core.issuer.finish__valid",
    ),
    "stalls": (
        "core.issuer.stall_drain",
        "core.issuer.stall_output",
        "core.events.stall_schedule",
        "core.events.stall_host",
    ),
    "corner element": (
        "core.array.pe_0_0.west__load",
        "core.array.pe_0_0.west__group",
        "core.array.pe_0_0.north__weight",
        "core.array.pe_0_0.north__index",
        "core.array.pe_0_0.north__last",
        "core.array.pe_0_0.sum",
        "core.array.pe_0_0.done",
        "core.array.pe_0_0.sum_south",
    ),
    "drain": (
        "core.drain.columns__0__valid",
        "core.drain.columns__0__end",
        "core.array.sums__0",
        "core.output_0.row_there",
    ),
    "response": (
        "core.response.fsm_state",
        "core.rows.row_taken",
        "m_axis_tvalid",
        "m_axis_tready",
        "m_axis_tlast",
        "m_axis_tdata",
    ),
}
"""Signals of the accelerator by group, with the instances that lead to them."""

COMMENT, HEXADECIMAL = "@200", "@22"
"""GTKWave's flags for what follows."""

MODULE = re.compile(r"^module (\\\S+ |\w+) ?\(.*?^endmodule", re.M | re.S)
INSTANCE = r"^  (\\\S+ |\w+) +(\\\S+ |\w+) ?\($"
SIGNAL = r"^  (?:wire|reg|input|output) (?:signed )?(?:\[(\d+):0\] )?(\\\S+|\w+) *(?:=[^;]*)?;"


class _Module:
    """Signals and instances of a module, by their names without escapes."""

    def __init__(self, text: str):
        self._text = text

    @cached_property
    def signals(self) -> dict[str, int]:
        """Their highest bits."""
        return {_plain(n): int(high or 0) for high, n in re.findall(SIGNAL, self._text, re.M)}

    @cached_property
    def instances(self) -> dict[str, str]:
        """The modules that they are of."""
        return {_plain(i): _plain(m) for m, i in re.findall(INSTANCE, self._text, re.M)}


def names(text: str, top: str) -> dict[str, list[str]]:
    """The signals of `VIEW` that the design in Verilog `text` has, by group, as a waveform of
    Verilator names them (``heddle.heddle.core.crc[15:0]``)."""
    modules = {_plain(m[1]): _Module(m[0]) for m in MODULE.finditer(text)}
    found: dict[str, list[str]] = {}
    for group, paths in VIEW.items():
        for path in paths:
            *instances, name = _split(path)
            module = modules.get(top)
            for instance in instances:
                module = module and modules.get(module.instances.get(instance, ""))
            if module and name in module.signals:
                high = module.signals[name]
                bits = f"[{high}:0]" if high else ""
                found.setdefault(group, []).append(f"{top}.{top}.{path}{bits}")
    return found


def save_file(text: str, top: str, trace: Path) -> str:
    """A GTKWave save file for the waveform `trace` of the design in Verilog `text`."""
    lines = [f'[dumpfile] "{trace.resolve()}"', "[timestart] 0"]
    for group, signals in names(text, top).items():
        lines += [COMMENT, f"-{group}", HEXADECIMAL, *signals]
    return "\n".join([*lines, ""])


def _split(path: str) -> list[str]:
    """Instances and signal; a structure's field belongs to its signal's name."""
    whole, _, field = path.partition("events.")
    return [*whole.strip(".").split("."), f"events.{field}"] if field else path.split(".")


def _plain(name: str) -> str:
    return name.strip().removeprefix("\\")
