"""The accelerator's buses: AXI4-Lite registers, and a DMA of its own beside a memory."""
