"""The serial line: UART, frames, and requests that are executed exactly once."""
