"""The link's device end: requests good, bad, damaged, repeated and cut short, against its model.

The accelerator's place is taken by independent AXI slaves that pause and stall. Which beats crossed
is seen at the buses; what the response must be then comes from `link_model`, byte for byte.
"""

import random

import cocotb
from cocotb.triggers import ClockCycles

from ...hw.isa.link_protocol import (
    FCS_BYTES,
    FLAG,
    HEAD_BYTES,
    STORE_BYTES,
    TIMEOUT,
    Kind,
    decode,
)
from .link_bench import SESSION, WATCHDOG, opened


@cocotb.test()
async def requests(dut):
    """Every kind, in and out of turn, of this and another session, of right and wrong length."""
    bench = await opened(dut)
    kinds = [*Kind, Kind.EXCHANGE, Kind.EXCHANGE, 0, 5, 200]
    last = (Kind.HELLO, b"\1\0")
    for i in range(35):
        if i % 10 == 0:
            bench.pauses()
        kind = random.choice(kinds)
        arguments = bench.arguments(kind)
        if random.random() < 0.1:
            extra = random.randrange(1, 6)
            room = STORE_BYTES - 1 - FCS_BYTES - 4 - len(arguments)
            arguments += random.randbytes(min(extra, room))
        match random.randrange(10):
            case 0:
                # The last one again, or what has its number: it is not looked at.
                same = (kind, arguments) if random.getrandbits(1) else last
                frame = bench.again(*same, SESSION, bench.sequence)
                if same[0] == Kind.HELLO:
                    last = same
            case 1:
                frame = bench.again(kind, arguments, SESSION ^ 1 << random.randrange(16), 0)
            case 2:
                wrong = (bench.sequence + random.randrange(2, 256)) % 256
                frame = bench.again(kind, arguments, SESSION, wrong)
            case _:
                frame = bench.frame(kind, arguments)
                last = (kind, arguments)
        await bench.same(frame, gap=random.choice((0, 1, 8)))
        # A HELLO of any session and number begins a new one.
        if bench.model._session != SESSION or bench.model._sequence != bench.sequence:
            await bench.hello()
            last = (Kind.HELLO, b"\1\0")


@cocotb.test()
async def every_size_of_frame(dut):
    """The shortest and the longest that are taken, and those beyond; all with a right FCS."""
    bench = await opened(dut)
    head = HEAD_BYTES - FCS_BYTES
    for size in (head - 1, head, STORE_BYTES - 1 - FCS_BYTES, STORE_BYTES - FCS_BYTES, 3_000):
        for kind in (Kind.READ, Kind.EXCHANGE):
            sequence = (bench.sequence + 1) % 256
            frame = bench.again(kind, bytes(size - 4), SESSION, sequence)
            if HEAD_BYTES <= size + FCS_BYTES < STORE_BYTES:
                bench.sequence = sequence
            await bench.same(frame, gap=0)
            await bench.same(bench.frame(Kind.READ, b"\0\0"))


@cocotb.test()
async def one_flipped_bit(dut):
    """Each bit of a request in turn, and bits of long ones: dropped, then taken when sent again."""
    bench = await opened(dut)
    short = len(bench.again(Kind.READ, b"\4\0", SESSION, 0))
    places = [(None, bit) for bit in range(8 * short)]
    # Bytes that are escaped make frames longer: the first such bits are of long frames.
    long = [random.randrange(8 * 100) for _ in range(12)]
    for kind, bit in [*places, *((Kind.EXCHANGE, bit) for bit in long)]:
        arguments = b"\4\0" if kind is None else bytes([3, 0]) + bench.beats(100)[:900]
        frame = bench.frame(kind or Kind.READ, arguments)
        bit %= 8 * len(frame)
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        # The flag that may be damaged is followed by the next frame's.
        await bench.same(bytes([*damaged, FLAG]))
        assert await bench.same(frame)


@cocotb.test()
async def damaged_frames(dut):
    """Bytes lost, doubled, invented, changed, and the end missing; flags and escapes likely."""
    bench = await opened(dut)
    frame = bench.frame(Kind.READ, b"\4\0")
    # Whole, but ended in the middle of an escape: given up by the sender.
    await bench.same(frame[:-1] + b"\x7d\x7e")
    await bench.same(frame)
    for i in range(20):
        if i % 10 == 0:
            bench.pauses()
        kind = random.choice((Kind.READ, Kind.WRITE, Kind.EXCHANGE))
        arguments = bench.arguments(kind)[: random.choice((60, 60, 1000))]
        frame = bench.frame(kind, arguments)
        damaged = bytearray(frame)
        for _ in range(random.choice((1, 1, 2, 5))):
            at = random.randrange(1, len(damaged))
            match random.randrange(5):
                case 0:
                    del damaged[at]
                case 1:
                    damaged.insert(at, damaged[at])
                case 2:
                    damaged.insert(at, random.choice((0x7D, 0x7E, random.randrange(256))))
                case 3:
                    damaged[at] ^= 1 << random.randrange(8)
                case 4:
                    del damaged[at:]
                    damaged += bytes(5 * [FLAG])
        # An answer to what is still whole (escapes doubled, say) is the model's too.
        await bench.same(bytes([*damaged, FLAG]), gap=random.choice((1, 8)))
        await bench.same(frame)


@cocotb.test()
async def noise_while_busy(dut):
    """What comes in the middle of a request's execution is lost; sent again, all is done once."""
    bench = await opened(dut)
    for _ in range(10):
        bench.pauses()
        kind = random.choice((Kind.READ, Kind.WRITE, Kind.EXCHANGE, Kind.EXCHANGE))
        frame = bench.frame(kind, bench.arguments(kind))
        answers: list[bytes] = []
        for _ in range(20):
            await bench.send(frame, gap=0)
            await ClockCycles(bench.dut.clk, random.randrange(1, 400))
            noise = random.choice((frame, frame[1:], frame[:-1], random.randbytes(40)))
            await bench.send(noise, gap=random.choice((0, 10)))
            got = await bench.quiet()
            answers += [bytes([FLAG, *body, FLAG]) for body in got.split(bytes([FLAG])) if body]
            # What noise has left ends here.
            await bench.send(bytes([FLAG]))
            answers += [got for got in [await bench.quiet()] if got]
            if answers:
                break
        assert answers and set(answers) == {answers[0]}, f"{len(set(answers))} different answers"
        bench.check(frame, answers[0])


@cocotb.test()
async def frames_without_an_end(dut):
    """The watchdog drops what stops in the middle, not what pauses, and nothing else does."""
    bench = await opened(dut)
    for cut in (1, 5, 9, 30):
        frame = bench.frame(Kind.EXCHANGE, bytes([2, 0]) + bench.beats(3))
        # A pause that is just short of it.
        await bench.send(frame[:cut], gap=0)
        await ClockCycles(dut.clk, WATCHDOG - 10)
        assert int(dut.busy.value) == (cut > 1)
        await bench.send(frame[cut:], gap=0)
        bench.check(frame, await bench.quiet())
        # And one past it: what comes then is a frame of its own, even without a flag before it.
        await bench.send(frame[:cut].rstrip(b"\x7d"), gap=0)
        await ClockCycles(dut.clk, WATCHDOG + 10)
        assert not int(dut.busy.value)
        frame = bench.frame(Kind.READ, b"\4\0")
        await bench.send(frame[1:], gap=0)
        bench.check(frame, await bench.quiet())


@cocotb.test()
async def accelerator_that_stalls(dut):
    """It takes nothing, or gives nothing: the answer says how far it got, soon; nothing is lost."""
    bench = await opened(dut)
    taken = 0
    for i in range(12):
        bench.stalled = True
        bench.ready, bench.valid = random.choice(((0, 1), (1, 0), (0, 0), (0.001, 0.001)))
        count = random.randint(1, 4)
        frame = bench.frame(Kind.EXCHANGE, bytes([2, 0]) + bench.beats(count))
        limit = (count + 3) * TIMEOUT + 6 * STORE_BYTES
        got = decode((await bench.same(frame, gap=0, limit=limit))[1:-1]) or b""
        taken += got[5]
        # The same again: neither moved once more nor waited for.
        await bench.same(frame, gap=0, limit=6 * STORE_BYTES)
        # Registers answer while a beat waits.
        await bench.same(bench.frame(Kind.READ, b"\4\0"))
        if i % 4 == 3:
            bench.ready = bench.valid = 1
            bench.stalled = False
            await bench.same(bench.frame(Kind.EXCHANGE, bytes([255, 0]) + bench.beats(4)))
        if i % 8 == 5:
            bench.ready = 0
            await bench.same(
                bench.frame(Kind.EXCHANGE, bytes([0, 0]) + bench.beats(1)), limit=limit
            )
            await bench.hello()
    assert taken


@cocotb.test()
async def refusals_keep_the_last_response(dut):
    """Whatever was refused in between, a repeated request gets its first answer."""
    bench = await opened(dut)
    for _ in range(6):
        bench.pauses()
        kind = random.choice((Kind.READ, Kind.EXCHANGE))
        frame = bench.frame(kind, bench.arguments(kind))
        await bench.same(frame)
        for _ in range(random.randrange(3)):
            await bench.same(bench.again(Kind.READ, b"\0\0", SESSION ^ 1, bench.sequence))
            await bench.same(bench.again(Kind.READ, b"\0\0", SESSION, bench.sequence - 1 & 0xFF))
        await bench.same(frame)


@cocotb.test()
async def registers_that_are_silent(dut):
    """Each kind is answered soon; a late answer is nobody's; beats still move."""
    bench = await opened(dut)
    write, read = bench.slave.write_if, bench.slave.read_if
    channels = (write.b_channel, read.r_channel)
    limit = TIMEOUT + STORE_BYTES
    first = random.choice((Kind.READ, Kind.WRITE, Kind.HELLO))
    for channel in channels:
        channel.set_pause_generator(iter(lambda: True, None))
    bench.model.silent = True
    for kind in (first, Kind.READ, Kind.WRITE, Kind.HELLO):
        frame = bench.frame(kind, bench.arguments(kind))
        await bench.send(frame, gap=0)
        got = await bench.quiet(limit)
        bench.model.device.reads = bench.registers.reads
        bench.model.device.writes = list(bench.registers.writes)
        bench.check(frame, got)
    await bench.same(bench.frame(Kind.EXCHANGE, bytes([2, 0]) + bench.beats(2)))
    for channel in channels:
        channel.clear_pause_generator()
    await ClockCycles(dut.clk, 20)
    for kind in (Kind.READ, Kind.WRITE, Kind.HELLO):
        await bench.same(bench.frame(kind, bench.arguments(kind)), limit=limit)
