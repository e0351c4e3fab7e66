"""VECTORs and PRUNEs through one engine, where some work beside each other: the memory as if they
had come one after another, and each told only when all up to it are done."""

import random
from dataclasses import replace

import cocotb
import numpy as np

from ...hw.config import Config
from ...hw.isa.descriptors import Prune, Vector
from ...hw.isa.vector import program_words
from ...hw.layouts.engines import VECTOR_WORK
from ..golden import prune, vector
from . import pruner as pruners
from . import vector as vectors
from .at_work import AtWork
from .common import configuration, generator, start
from .descriptor_traffic import weights_to_prune
from .vector_traffic import program

COMMANDS = 8


def offer(bench: AtWork, command: Vector | Prune) -> None:
    layout = VECTOR_WORK(bench.config)
    if isinstance(command, Prune):
        fields = {"prune": pruners.described(bench.config, command)}
        bench.offer(layout, {"prunes": 1, "fields": fields})
    else:
        fields = {"vector": vectors.described(command)}
        bench.offer(layout, {"guarded": command.guarded, "fields": fields})


async def all_offered(bench: AtWork, commands: list[Vector | Prune]) -> None:
    for command in commands:
        offer(bench, command)
        await bench.until_taken()


def touched(config: Config, command: Vector | Prune) -> list[range]:
    """Words that it may write."""
    if isinstance(command, Prune):
        return [range(command.address, command.address + command.room)]
    return [range(base, base + words) for base, words in command.streams]


def drawn(bench: AtWork, rng: np.random.Generator) -> list[Vector | Prune]:
    """Commands that work on the lower half of the memory. Programs lie in the upper half, but for
    some that a PRUNE may write over."""
    config = bench.config
    half, made = config.tensor_words // 2, []
    lower = replace(config, tensor_words=half)
    at = half
    for _ in range(COMMANDS):
        if rng.random() < 0.4:
            made.append(weights_to_prune(lower, rng))
            continue
        command, content = program(lower, rng, most_rows=12, wrong=rng.random() < 0.2)
        words = program_words(config, command.instructions)
        if rng.random() < 0.9:
            command, at = replace(command, program=at), at + words
        there = np.frombuffer(content, np.uint8).reshape(words, -1)
        bench.memory[command.program : command.program + words] = there
        made.append(replace(command, guarded=int(rng.integers(2))))
    return made


@cocotb.test()
async def as_if_one_after_another(dut):
    config, rng = configuration(), generator()
    await start(dut, "vectors__valid", "unsafe", "port__ready", "port__there", "grant")
    bench, done = AtWork(dut, config, rng, "vectors"), 0
    for _ in range(30):
        values = pruners.weights(rng, bench.memory.size // 4).view(np.uint8)
        bench.memory[:] = values.reshape(bench.memory.shape)
        commands, unsafe = drawn(bench, rng), bool(rng.integers(2))
        wanted, flags = [bench.memory.copy()], set()
        for command in commands:
            memory = wanted[-1].copy()
            if isinstance(command, Prune):
                flags |= prune.run(config, memory, command)
            elif not (command.guarded and unsafe):
                flags |= vector.run(config, memory, command)
            wanted.append(memory)
        bench.flags, bench.pause = set(), random.choice((0.0, 0.2, 0.6))
        dut.unsafe.value = unsafe
        offering = cocotb.start_soon(all_offered(bench, commands))
        while bench.finished < done + len(commands):
            await bench.until(bench.finished + 1, 200_000)
            number = bench.finished - done
            # What comes later may have begun.
            same = np.ones(config.tensor_words, bool)
            for command in commands[number:]:
                for words in touched(config, command):
                    same[words.start : words.stop] = False
            assert (bench.memory == wanted[number])[same].all(), f"{number}: {commands[:number]}"
        await offering
        assert bench.flags == flags
        done += len(commands)


@cocotb.test()
async def beside_each_other(dut):
    """A VECTOR whose words are no PRUNE's takes no time of its own."""
    config, rng = configuration(), generator()
    await start(dut, "vectors__valid", "unsafe", "port__ready", "port__there", "grant")
    bench = AtWork(dut, config, rng, "vectors")
    half = config.tensor_words // 2
    lower, upper = replace(config, tensor_words=half // 2), half
    pruning = max((weights_to_prune(lower, rng) for _ in range(50)), key=lambda p: p.words)
    command, content = program(lower, rng, most_rows=8)
    there = np.frombuffer(content, np.uint8).reshape(-1, config.stream_bytes)
    bench.memory[upper : upper + len(there)] = there
    streams = {f"base_{n}": base + upper // 2 for n, (base, _) in enumerate(command.streams)}
    command = replace(command, program=upper, **streams)
    cycles = []
    for commands in ([pruning], [command], [pruning, command]):
        until = bench.finished + len(commands)
        began = bench.cycles
        cocotb.start_soon(all_offered(bench, commands))
        await bench.until(until, 200_000)
        cycles.append(bench.cycles - began)
    alone, other, both = cycles
    assert both < max(alone, other) + min(alone, other) // 2, cycles
