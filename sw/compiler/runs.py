"""A phase's RUNs in the order in which they wait the least, and which of them need a load."""

from collections.abc import Iterator
from dataclasses import replace

from ...hw.config import Config
from ...hw.isa.codes import Target
from ...hw.isa.maps import chunks
from .steps import Load, Phase, Run
from .tensors import overlap


def ordered(config: Config, phase: Phase) -> list[Run]:
    """A phase's RUNs in the order in which they wait the least: tiles of row blocks that are
    to be loaded as their rows and weights come, if all columns' settings are on the device."""
    if phase.in_order:
        return phase.runs
    pages = {load.page for load in phase.loads if load.target is Target.ACTIVATIONS}
    columns = {run.column_block for run in phase.runs}
    if not all(run.finish for run in phase.runs) or len(columns) > config.settings_pages:
        pages = set()
    fresh = [run for run in phase.runs if run.pages[0] in pages]
    held = [run for run in phase.runs if run.pages[0] not in pages]
    if not fresh:
        return held
    first_row = min(run.row_blocks.start for run in fresh)
    first_column = min(columns)
    brings = {load.page for load in phase.loads}
    slot_cycles = chunks(config)[Target.VALUES].per_word

    def there(run: Run) -> tuple[int, int]:
        """About when its rows and its weights are, from the first ones on, in cycles."""
        rows = len(run.reads[Target.ACTIVATIONS]) * config.rows // config.lanes
        weights = len(run.reads[Target.VALUES]) * slot_cycles if run.pages[1] in brings else 0
        row, column = run.row_blocks.start - first_row, run.column_block - first_column
        return max(row * rows, column * weights), row

    return held + sorted((each for run in fresh for each in row_by_row(run)), key=there)


def uses(run: Run, load: Load) -> bool:
    """Whether the RUN reads some of what is loaded; of a panel, any of its row blocks."""
    if load.target is Target.ACTIVATIONS:
        blocks = run.activations()
        reads = range(blocks[0].start, blocks[-1].stop)
    else:
        values = load.target is Target.INDICES and load.target not in run.reads
        reads = run.reads[Target.VALUES if values else load.target]
    return overlap(reads, range(load.address, load.address + len(load.words)))


def row_by_row(run: Run) -> Iterator[Run]:
    """The RUN as one for each of its row blocks: it need not wait for the last one's rows."""
    for block, activations in zip(run.row_blocks, run.activations(), strict=True):
        yield replace(
            run,
            row_blocks=range(block, block + 1),
            fields=run.fields | {"activation_base": activations.start, "row_blocks": 1},
            reads=run.reads | {Target.ACTIVATIONS: activations},
            cycles=run.cycles // len(run.row_blocks),
        )


def paired(loads: list[Load]) -> Iterator[tuple[Load, Load | None]]:
    """The loads, but values with the indices of the same slots, if those come just before."""
    held: Load | None = None
    for load in loads:
        pairs = (
            held is not None
            and load.target is Target.VALUES
            and (held.address, len(held.words)) == (load.address, len(load.words))
        )
        if held is not None and not pairs:
            yield held, None
        if load.target is Target.INDICES:
            held = load
            continue
        yield load, held if pairs else None
        held = None
    if held is not None:
        yield held, None
