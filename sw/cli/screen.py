"""What every command prints on."""

from rich.console import Console

console = Console()
