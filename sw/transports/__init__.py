"""What carries packets to a device: a serial line, a memory with a DMA, a simulator."""
