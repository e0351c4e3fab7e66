"""A line that loses, changes, doubles, delays and invents bytes, both ways."""

import random


class FaultyPort:
    """`port` with a fault at each byte with probability `rate`; the same seed, the same faults."""

    def __init__(self, port, rate: float, seed: int):
        self.port = port
        self.name = port.name
        self.rate = rate
        self.faults = 0
        """Faults injected so far."""
        self._random = random.Random(seed)
        self._late = b""

    def write(self, data: bytes) -> None:
        self.port.write(self._disturb(data))

    def read(self, timeout: float) -> bytes:
        if self._late and self._random.random() < 0.5:
            late, self._late = self._late, b""
            return late
        data = self._late + self._disturb(self.port.read(timeout))
        self._late = b""
        # A pause: the host gives up waiting for bytes that come all the same.
        if data and self._random.random() < 10 * self.rate:
            self.faults += 1
            cut = self._random.randrange(len(data))
            data, self._late = data[:cut], data[cut:]
        return data

    def close(self) -> None:
        self.port.close()

    def _disturb(self, data: bytes) -> bytes:
        rng, out, at = self._random, bytearray(), 0
        # The distance to the next fault is geometric: no number is drawn for each byte.
        while (gap := int(rng.expovariate(self.rate))) < len(data) - at:
            out += data[at : at + gap]
            byte = data[at + gap]
            at += gap + 1
            self.faults += 1
            match rng.randrange(5):
                case 0:  # lost
                    pass
                case 1:  # one bit
                    out.append(byte ^ 1 << rng.randrange(8))
                case 2:  # all of it
                    out.append(rng.randrange(256))
                case 3:  # doubled
                    out += bytes([byte, byte])
                case 4:  # followed by noise, flags and escapes likely in it
                    noise = rng.choices((0x7E, 0x7D, rng.randrange(256)), k=rng.randrange(1, 20))
                    out += bytes([byte, *noise])
        return bytes(out + data[at:])
