"""Which tests belong to a module: those that should notice when it is wrong, quick ones first.

A module's own test file belongs to it by its name (``tests/sw/test_plan.py``: ``plan.py``), and so
do its testbench and its proof. What else belongs is in `MORE`. Tests that edit a module's text
themselves, and those of how mutants are refuted, never do.
"""

from pathlib import Path

LEFT_OUT = "not mutant and not refut and not no_longer and not wrong"
"""For pytest's ``-k``: tests that break the module themselves."""
BENCHES = Path("tests/sim/test_testbenches.py")
DEVICE = ("tests/sim/test_device.py", "-k", "(int8 or fp16 or fp32) and not model")
TOP = (str(BENCHES), "-k", "[top-")
MEMORY = (str(BENCHES), "-k", "[memory_top-")
GOLDEN = ("tests/sim/test_golden.py",)
COMMANDS = ("tests/sim/test_device.py", "-k", "model or packets or refused")
HEADERS = ("tests/hw/test_commands.py",)
RUN = ("tests/sw/test_demo.py",)
CLI = ("tests/sw/test_cli.py",)
CLOSING = ("tests/sw/test_interrupted.py", "-k", "close")
FILES = ("tests/sw/test_cli_files.py",)
PE = (str(BENCHES), "-k", "[pe-")
BOARDS = ("tests/hw/test_platforms.py",)
LINK = (str(BENCHES), "-k", "[link- or [uart-")
LINK_PROOF = ("tests/sim/proofs/test_link.py", "-k", "test_link")
TENSOR = (str(BENCHES), "-k", "[tensor-")
MOVERS = (str(BENCHES), "-k", "[movers-")
TENSOR_PROOF = ("tests/sim/proofs/test_tensor.py", "-k", "test_tensor_memory or test_beat")
WORDS = ("tests/sim/test_memory.py",)
PROGRAMS = ("tests/sim/test_programs.py", "-k", "tensors")
VECTOR = (str(BENCHES), "-k", "[vector-")
PRUNER = (str(BENCHES), "-k", "[pruner-")
VECTOR_ENGINE = (str(BENCHES), "-k", "[vector_engine-")
VECTOR_LANE = (str(BENCHES), "-k", "[vector_lane-")
VECTOR_PROOF = ("tests/sim/proofs/test_vector.py", "-k", "test_loader or test_writer")
VECTOR_PROGRAMS = ("tests/sim/test_vector_programs.py",)
RECIPES = ("tests/sw/test_recipes.py",)
TRAINER = ("tests/sw/test_trainer.py",)
GRADIENTS = ("tests/sw/test_gradients.py", "-k", "not stalled")
KEPT = ("tests/sw/test_kept.py", "-k", "not stalled")
SIDE = (str(BENCHES), "-k", "[side-")
BESIDE = ("tests/sw/test_side.py", "-k", "not stalled")
BUS_PROOFS = ("tests/sim/proofs/test_bursts.py",)
COPY_PROOFS = ("tests/sim/proofs/test_copy.py",)
COPY_BENCH = (str(BENCHES), "-k", "[copy-")
COUNTED = ("tests/sim/test_engine_counters.py",)
COPIES = ("tests/sim/test_copy.py",)
SEQUENCER = (str(BENCHES), "-k", "[sequencer-")

MORE: dict[str, list[tuple[str, ...]]] = {
    "hw/array/array.py": [TOP, DEVICE],
    "hw/bus/axi.py": [("tests/hw/test_verilog.py",), TOP, MEMORY],
    "hw/control/judge.py": [SEQUENCER, COMMANDS, COPIES],
    "hw/isa/host_stream.py": [("tests/sim/test_link.py",), COMMANDS],
    "hw/isa/maps.py": [("tests/sw/test_plan.py",), SEQUENCER, TOP],
    "hw/link/executor.py": [LINK_PROOF, LINK, ("tests/sim/test_link.py",)],
    "hw/link/receiver.py": [LINK_PROOF, LINK],
    "hw/link/responder.py": [LINK_PROOF, LINK],
    "hw/bus/axi_lite.py": [(str(BENCHES), "-k", "[registers-"), TOP],
    "hw/isa/commands.py": [TOP, COMMANDS],
    "hw/isa/codes.py": [HEADERS, TOP, COMMANDS],
    "hw/isa/header.py": [HEADERS, TOP, COMMANDS],
    "hw/isa/descriptors.py": [HEADERS, COMMANDS, PROGRAMS, COPIES],
    "hw/config.py": [COMMANDS, CLI, DEVICE],
    "hw/core.py": [TOP, DEVICE, COPIES],
    "hw/control/counters.py": [(str(BENCHES), "-k", "[registers-"), TOP, DEVICE],
    "hw/lib/crc.py": [SEQUENCER, LINK],
    "hw/buffers/payload.py": [SEQUENCER, TOP, DEVICE],
    "hw/array/selector.py": [(str(BENCHES), "-k", "[pe- or [selector-"), DEVICE],
    "hw/control/dispatcher.py": [SEQUENCER, PROGRAMS, COPIES],
    "hw/control/tensor_commands.py": [SEQUENCER, WORDS, PROGRAMS, COPIES],
    "hw/control/scoreboard.py": [SEQUENCER, PROGRAMS],
    "hw/control/side.py": [SEQUENCER, BESIDE],
    "hw/output/side.py": [SIDE, BESIDE],
    "hw/tensor/side.py": [SIDE, BESIDE],
    "hw/tensor/windows.py": [(str(BENCHES), "-k", "[store-"), SIDE, BESIDE],
    "hw/isa/engines.py": [SEQUENCER, PROGRAMS],
    "hw/tensor/dense.py": [("tests/sim/proofs/test_dense.py", "-k", "test_diagonal"), GRADIENTS],
    "hw/tensor/gather.py": [GRADIENTS],
    "hw/tensor/diagonals.py": [MOVERS, KEPT],
    "hw/tensor/": [TENSOR, MOVERS, TENSOR_PROOF, WORDS, PROGRAMS],
    "hw/prune/engine.py": [VECTOR_ENGINE],
    "hw/prune/": [PRUNER, ("tests/sim/proofs/test_top_n.py",)],
    "hw/arith/narrow.py": [("tests/hw/test_narrow.py",), PRUNER],
    "hw/vector/": [VECTOR_PROOF, VECTOR, VECTOR_PROGRAMS],
    "hw/vector/lane.py": [VECTOR_LANE],
    "hw/vector/rounder.py": [VECTOR_LANE],
    "hw/isa/vector.py": [("tests/sim/test_vector.py",), VECTOR_PROGRAMS],
    "hw/bus/bursts.py": [BUS_PROOFS, COPY_BENCH, MEMORY],
    "hw/bus/arbiter.py": [BUS_PROOFS, MEMORY],
    "hw/bus/axi_ram.py": [COPIES],
    "hw/copy/": [COPY_PROOFS, COPY_BENCH, COPIES],
    "hw/bus/dma.py": [MEMORY, ("tests/sw/test_dma.py",)],
    "hw/isa/dma_registers.py": [MEMORY, ("tests/sw/test_dma.py",)],
    "hw/array/drain.py": [TOP, DEVICE],
    "hw/array/exact_mac.py": [(str(BENCHES), "-k", "[pe-"), DEVICE],
    "hw/buffers/": [(str(BENCHES), "-k", "[feeders-"), TOP, DEVICE, GRADIENTS],
    "hw/lib/fifo.py": [(str(BENCHES), "-k", "[response- or [lane_group-"), TOP],
    "hw/formats.py": [
        GOLDEN,
        ("tests/sw/test_elements.py",),
        ("tests/hw/test_operand.py",),
        DEVICE,
    ],
    "hw/arith/fp32.py": [(str(BENCHES), "-k", "[pe- or [array-"), DEVICE],
    "hw/array/fp32_mac.py": [(str(BENCHES), "-k", "[pe- or [array-"), DEVICE],
    "hw/link/framing.py": [LINK],
    "hw/control/issuer.py": [TOP, DEVICE],
    "hw/layouts/": [TOP, DEVICE],
    "hw/link/link.py": [LINK_PROOF, LINK, ("tests/sim/test_link.py",)],
    "hw/isa/link_protocol.py": [LINK, ("tests/sim/test_link.py",)],
    "hw/memory_top.py": [MEMORY, ("tests/sw/test_dma.py",)],
    "hw/arith/operand.py": [(str(BENCHES), "-k", "[feeders-"), DEVICE],
    "hw/output/lane_group.py": [(str(BENCHES), "-k", "[epilogue-"), TOP, DEVICE],
    "hw/control/interlock.py": [SEQUENCER, TOP],
    "hw/array/pe.py": [(str(BENCHES), "-k", "[array-"), DEVICE],
    "hw/lib/pipeline.py": [(str(BENCHES), "-k", "[epilogue- or [lane_group-"), TOP],
    "hw/control/array_waits.py": [COUNTED],
    "hw/control/engine_events.py": [COUNTED],
    "hw/control/tally.py": [(str(BENCHES), "-k", "[registers-"), COUNTED],
    "hw/isa/engine_counters.py": [COUNTED, ("tests/hw/test_registers.py",)],
    "hw/isa/registers.py": [(str(BENCHES), "-k", "[registers-"), COMMANDS],
    "hw/arith/rounding.py": [(str(BENCHES), "-k", "[epilogue-"), DEVICE],
    "hw/control/metadata.py": [(str(BENCHES), "-k", "[issuer-"), TOP, DEVICE],
    "hw/control/sequencer.py": [TOP, DEVICE],
    "hw/serial_top.py": [LINK, ("tests/sim/test_board.py",)],
    "hw/top.py": [TOP, DEVICE, COPIES],
    "hw/link/uart.py": [LINK, ("tests/sim/test_board.py",)],
    "hw/verilog.py": [("tests/hw",)],
    "hw/lib/library.py": [("tests/hw/test_library.py",)],
    "hw/control/response.py": [TOP, DEVICE, COPIES],
    "hw/output/row_reader.py": [(str(BENCHES), "-k", "[response-"), TOP, DEVICE],
    "hw/output/epilogue.py": [(str(BENCHES), "-k", "[lane_group-"), DEVICE],
    "hw/platforms/": [
        BOARDS,
        ("tests/hw",),
        ("tests/sw/test_bitstream.py",),
        ("tests/sw/test_vendor.py",),
    ],
    "hw/platforms/floorplan.py": [("tests/sw/test_floorplan.py",)],
    "hw/errors.py": [COMMANDS],
    "hw/lib/verilog_lint.py": [("tests/hw/test_verilog.py",)],
    "hw/array/mac.py": [("tests/hw/test_extending.py",), PE],
    "hw/lib/verilog_names.py": [("tests/hw/test_verilog.py",)],
    "sim/golden/vector.py": [VECTOR_PROGRAMS, ("tests/sim/test_vector.py",)],
    "sim/golden/vector_ops.py": [("tests/sim/test_vector.py",), VECTOR_PROGRAMS],
    "sim/golden/array.py": [GOLDEN, COMMANDS, ("tests/sw/test_driver.py",), BESIDE],
    "sim/golden/commands.py": [COMMANDS, WORDS, GRADIENTS, COPIES, VECTOR_PROGRAMS],
    "sim/golden/": [GOLDEN, ("tests/sw/test_driver.py",), COMMANDS],
    "sw/cli/": [
        CLI,
        FILES,
        ("tests/sw/test_screen.py",),
        ("tests/sw/test_configuration.py",),
        ("tests/sw", "-k", "cli"),
    ],
    "sw/cli/explaining.py": [("tests/sw/test_explain.py",)],
    "sw/cli/results.py": [("tests/sw/test_screen.py",), ("tests/sw/test_explain.py",), RUN],
    "sw/cli/training.py": [CLI, ("tests/sw/test_trainer.py",)],
    "sw/cli/boards.py": [("tests/sw/test_bitstream.py",), ("tests/sw/test_vendor.py",), CLI],
    "sw/report/api_page.py": [CLI],
    "sw/lib/arrays.py": [FILES, ("tests/sw/test_damage.py",)],
    "sw/flow/board_reports.py": [CLI],
    "sw/compiler/bounds.py": [
        ("tests/sim/test_sums.py",),
        ("tests/sw/test_driver.py",),
        BESIDE,
    ],
    "sw/lib/contents.py": [("tests/sw/test_packing.py",)],
    "sw/nn/container.py": [CLI],
    "sw/nn/data.py": [("tests/sw/test_damage.py",), CLI],
    "sw/report/demo.py": [RUN],
    "sw/host/device.py": [
        ("tests/sim/test_device.py", "-k", "model or no_device"),
        ("tests/sw/test_selftest.py",),
        CLOSING,
    ],
    "sw/transports/dma.py": [("tests/sw/test_memories.py",)],
    "sw/report/cross_coverage.py": [("tests/sw/test_coverage.py",), DEVICE],
    "sw/report/engines.py": [("tests/sw/test_explain.py",)],
    "sw/cli/explained.py": [("tests/sw/test_explain.py",)],
    "sw/report/explain.py": [("tests/sw/test_causes.py",)],
    "sw/report/docs.py": [CLI],
    "sw/transports/guarded.py": [("tests/sw/test_interrupted.py",)],
    "sw/lib/trusted.py": [("tests/sw/test_cache.py",)],
    "sw/lib/locks.py": [("tests/sw/test_cache.py",), ("tests/sw/test_interrupted.py",)],
    "sw/report/speed.py": [RUN, ("tests/sw/test_screen.py",)],
    "sw/nn/tensors.py": [("tests/sw/test_damage.py",), ("tests/sw/test_models.py",)],
    "sw/compiler/validity.py": [("tests/sw/test_container.py",)],
    "sw/host/driver.py": [("tests/sw/test_elements.py",), COMMANDS, ("tests/sw/test_selftest.py",)],
    "sw/errors.py": [CLI],
    "sw/compiler/orders.py": [("tests/sw/test_plan.py",), COMMANDS],
    "sw/compiler/pages.py": [("tests/sw/test_plan.py",), KEPT],
    "sw/compiler/steps.py": [("tests/sw/test_plan.py",), COMMANDS],
    "sw/compiler/timing.py": [("tests/sw/test_plan.py",), ("tests/sw/test_causes.py",)],
    "sw/nn/network.py": [("tests/sw/test_network_files.py",), RUN, CLI],
    "sw/compiler/nm.py": [("tests/sw/test_packing.py",)],
    "sw/compiler/packing.py": [
        ("tests/sw/test_container.py",),
        ("tests/sw/test_elements.py",),
        COMMANDS,
    ],
    "sw/compiler/pruning.py": [("tests/sw/test_pruning.py",)],
    "sw/compiler/plan.py": [COMMANDS, DEVICE],
    "sw/host/answers.py": [("tests/sw/test_driver.py",), COMMANDS, ("tests/sw/test_selftest.py",)],
    "sw/host/open.py": [
        ("tests/sim/test_device.py", "-k", "no_device"),
        ("tests/sw/test_serial_errors.py",),
        ("tests/sw/test_memories.py",),
        CLI,
    ],
    "sw/transports/transport.py": [("tests/sw/test_public.py",)],
    "sw/compiler/encoding.py": [("tests/sw/test_plan.py",), COMMANDS],
    "sw/nn/quantise.py": [("tests/sw/test_scaling.py",), RUN],
    "sw/report/programs.py": [("tests/sw/test_program_report.py",)],
    "sw/report/page.py": [("tests/sw/test_program_report.py",), RUN, ("tests/sw/test_screen.py",)],
    "sw/transports/serial_link.py": [
        CLOSING,
        ("tests/sw/test_serial_errors.py",),
        ("tests/sim/test_link.py",),
    ],
    "sw/transports/serial_port.py": [
        ("tests/sw/test_serial_errors.py",),
        ("tests/sim/test_board.py",),
    ],
    "sw/flow/synthesis.py": [("tests/sw/test_multiplexers.py",)],
    "sw/flow/toolchain.py": [("tests/sw/test_bitstream.py",)],
    "sw/host/selftest/": [("tests/sw/test_selftest.py",)],
    "sw/host/memory.py": [WORDS, COPIES],
    "sw/host/programs.py": [("tests/sw/test_program.py",)],
    "sw/compiler/tensors.py": [("tests/sw/test_program.py",), BESIDE],
    "sw/compiler/waits.py": [("tests/sw/test_program.py",), BESIDE],
    "sw/compiler/sequence.py": [("tests/sw/test_program.py",), BESIDE],
    "sw/nn/in_torch.py": [("tests/sw/test_torch.py",)],
    "sw/nn/ranks.py": [("tests/sw/test_ranks.py",)],
    "sw/compiler/runs.py": [("tests/sw/test_program.py",)],
    "sw/compiler/allocator.py": [("tests/sw/test_program.py",)],
    "sw/compiler/history.py": [("tests/sw/test_program.py",), ("tests/sw/test_copies.py",)],
    **dict.fromkeys(
        ("sw/compiler/external.py", "sw/compiler/stream.py", "sw/compiler/transfers.py"),
        [("tests/sw/test_copies.py",)],
    ),
    **dict.fromkeys(
        ("sw/report/mover_coverage.py", "sw/report/mover_programs.py"),
        [("tests/sw/test_coverage.py",)],
    ),
    "sim/golden/gather.py": [GRADIENTS],
    "sw/nn/exact.py": [("tests/sw/test_steps.py",)],
    "sim/golden/biases.py": [("tests/hw/test_biases.py",)],
    "sw/compiler/backward.py": [GRADIENTS, ("tests/sw/test_transposed.py", "-k", "model")],
    "sw/compiler/walks.py": [("tests/sw/test_convolutions.py", "-k", "not stalled")],
    "sw/nn/stages.py": [("tests/sw/test_stages.py",)],
    "sw/compiler/vector.py": [("tests/sim/test_vector.py",), VECTOR_PROGRAMS],
    "sw/compiler/vector_programs.py": [VECTOR_PROGRAMS],
    "sw/compiler/vector_program.py": [VECTOR_PROGRAMS],
    "sw/compiler/pooling_programs.py": [VECTOR_PROGRAMS],
    "sw/compiler/softmax_programs.py": [VECTOR_PROGRAMS],
    "sw/compiler/update_programs.py": [VECTOR_PROGRAMS],
    "sw/compiler/vector_functions.py": [VECTOR_PROGRAMS],
    "sw/nn/programs.py": [("tests/sw/test_program.py",)],
    "sw/nn/loss_scale.py": [("tests/sw/test_on_device.py",), ("tests/sw/test_on_model.py",)],
    "sw/nn/on_device.py": [("tests/sw/test_on_device.py",)],
    "sw/report/pictures.py": [
        ("tests/sw/test_checkpoint.py",),
        ("tests/sim/test_reproduce.py",),
    ],
    "sw/nn/held.py": [("tests/sw/test_kept.py",), ("tests/sw/test_steps.py",)],
    "sw/nn/trainer.py": [("tests/sw/test_demo.py",)],
    **dict.fromkeys(("sw/nn/recipes/", "sw/nn/optimisers.py"), [RECIPES, TRAINER]),
    **dict.fromkeys(
        ("sw/nn/layers.py", "sw/nn/backprop.py"), [TRAINER, ("tests/sw/test_stages.py",)]
    ),
    **dict.fromkeys(
        ("sw/nn/npz.py", "sw/lib/stopping.py", "sw/report/learning_curves.py"),
        [("tests/sw/test_checkpoint.py",)],
    ),
    "sw/flow/vendor.py": [("tests/hw/test_vendor_boards.py",)],
}
"""Beyond those that belong by name: pytest's arguments, by module or by folder."""


def tests_of(root: Path, module: str) -> list[tuple[str, ...]]:
    """Arguments for pytest, one tuple a run, in the order in which they are tried."""
    path = Path(module)
    top, stem = path.parts[0], path.stem
    runs: list[tuple[str, ...]] = []
    for folder in (f"tests/{top}", "tests/sim/proofs"):
        own = Path(folder) / f"test_{stem}.py"
        if (root / own).exists() and (folder != "tests/sim/proofs" or top == "hw"):
            runs.append((str(own),))
    if top == "hw" and f'"{stem}"' in (root / BENCHES).read_text():
        runs.insert(0, (str(BENCHES), "-k", f"[{stem}-"))
    more = MORE.get(module)
    if more is None:
        more = next((MORE[key] for key in MORE if key[-1] == "/" and module.startswith(key)), [])
    known = [run for run in more if (root / run[0]).exists()]
    return list(dict.fromkeys(runs + known))
