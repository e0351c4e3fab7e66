"""Which configuration a command is about: a preset, a file's or a board's, and fields changed."""

import inspect
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from ...hw.config import GROUPS, PRESETS, Accumulation, Config, ConfigError, preset
from ...hw.config import changed as changed_config
from ...hw.errors import one_of
from ...hw.formats import FORMATS
from ...hw.platforms import BOARDS
from ...hw.platforms import board as open_board
from ...hw.platforms.boards import Build
from ...hw.platforms.vendor import vendor_board

PANEL = "Configuration"
MODES = {mode.name.lower(): mode for mode in Accumulation}
NAME = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9_]")
"""Names of configurations, which are names of files too."""
TEXTS = {
    "name": "Its name, and its files'.",
    "rows": "Processing elements north to south.",
    "columns": "Processing elements west to east.",
    "format": f"Of activations and weights: {', '.join(FORMATS)}.",
    "group": f"M, of N:M sparsity ({one_of(GROUPS)}).",
    "accumulation": f"{' or '.join(MODES)}.",
    "interleave": "Outputs that an element works on in turn.",
    "columns_per_epilogue": "Columns that share an epilogue.",
    "lanes": "Groups in a beat of the host stream.",
    "activation_groups": "Groups in a row's activation page.",
    "weight_slots": "Weights in a column's page.",
    "schedule_records": "Group records in a page.",
    "settings_pages": "Pages of bias and scale, each a column block's.",
    "runs_ahead": "RUNs that wait for the array.",
    "tensor_words": "Beats that tensor memory holds; 0: none.",
    "vector_lanes": "binary32 operations of the vector unit a cycle; 0: none.",
    "external_bits": "Of external memory's byte addresses; 0: none.",
    "training": "Rows can be transposed, and be dense weights.",
    "compact": "Smallest hardware: no counters, no queues.",
}
"""The fields of a `Config`, each an option and a key of a file."""


@dataclass(frozen=True)
class Chosen:
    """What the options of a command say."""

    config: Config
    mhz: float | None = None
    """The clock of the board that was named."""
    given: bool = True
    """Whether any of the options was."""


def configured(default: str) -> Callable[[Callable], Callable]:
    """A decorator: the command's parameter `chosen` is a `Chosen`, made of options.

    They are `--preset` (`default` without one), `--config`, `--board` and one for each field.
    """

    def decorate(command: Callable) -> Callable:
        def run(preset: str | None, config: Path | None, board: str | None, **given):
            changes = {name: given.pop(name) for name in TEXTS}
            return command(**given, chosen=choose(default, preset, config, board, changes))

        own = inspect.signature(command)
        kept = [p for p in own.parameters.values() if p.name != "chosen"]
        run = wraps(command)(run)
        signature = own.replace(parameters=[*kept, *_options(default)])
        run.__dict__["__signature__"] = signature
        run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return run

    return decorate


def _options(default: str) -> list[inspect.Parameter]:
    """The options as parameters of a function."""
    bases = {
        "preset": (str, f"{', '.join(PRESETS)} [{default}]"),
        "config": (Path, "A TOML file of fields; the others are the preset's."),
        "board": (str, "What a board carries, by `NAME` or `NAME/CONFIGURATION`."),
    }
    kinds = {field.name: field.type for field in fields(Config)}
    changes = {name: (kinds[name], text) for name, text in TEXTS.items()}

    def option(name: str, kind: type, text: str) -> inspect.Parameter:
        kind = kind if kind in (int, bool, Path) else str
        hint = Annotated[kind | None, typer.Option(help=text, rich_help_panel=PANEL)]
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(name, keyword, default=None, annotation=hint)

    return [option(name, *rest) for name, rest in (bases | changes).items()]


def choose(
    default: str,
    preset_name: str | None = None,
    file: Path | None = None,
    board: str | None = None,
    changes: dict[str, Any] | None = None,
) -> Chosen:
    """The preset or what the board carries, with a file's fields, and then `changes` (not None).

    What has been changed and not named is called as the file, or "custom". Raises `ConfigError`.
    """
    if board and preset_name:
        raise ConfigError("--board and --preset both name a configuration; give one of them")
    build = carried(board) if board else None
    base = build.config if build else preset(preset_name or default)
    changed = {name: value for name, value in (changes or {}).items() if value is not None}
    named = {"name": file.stem if file else "custom"} if file or changed else {}
    chosen = parsed(named | (read(file) if file else {}) | changed)
    given = bool(board or preset_name or file or changed)
    return Chosen(changed_config(base, **chosen), build.mhz if build else None, given)


def carried(text: str) -> Build:
    """The configuration and clock of a board, by ``NAME`` or ``NAME/CONFIGURATION``."""
    name, _, configuration = text.partition("/")
    board = open_board(name) if name in BOARDS else vendor_board(name)
    return board.build(configuration)


def read(file: Path) -> dict[str, Any]:
    """The fields that a TOML file names, as it says them. Raises `ConfigError`."""
    try:
        with file.open("rb") as source:
            found = tomllib.load(source)
    except (ValueError, RecursionError) as reason:
        raise ConfigError(f"{file} is not TOML: {reason}") from None
    if strange := [name for name in found if name not in TEXTS]:
        raise ConfigError(
            f"{file}: a configuration has no {', '.join(map(repr, strange))}; it has "
            + ", ".join(TEXTS)
        )
    return found


def parsed(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` as a `Config` takes them: format and accumulation by name. Raises `ConfigError`."""
    for name, known in (("format", FORMATS), ("accumulation", MODES)):
        if name in fields:
            value = fields[name]
            if not isinstance(value, str) or value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")
            fields = fields | {name: known[value]}
    name = fields.get("name", "custom")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"a configuration's name is of letters, digits, '_', '-' and '.', not {name!r}; "
            "name it by --name"
        )
    return fields
