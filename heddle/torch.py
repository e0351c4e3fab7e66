"""PyTorch's Linear and Conv2d on a device, in a user's own loop: `wrap`, `unwrap`, `cycles`.

import heddle.torch

heddle.torch.wrap(model, device, "bdwp", (2, 8), dense=["classifier"])
"""

try:
    from .sw.nn.in_torch import cycles, unwrap, wrap
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    raise ImportError("heddle.torch needs PyTorch: pip install 'heddle[torch]'") from None

__all__ = ["cycles", "unwrap", "wrap"]
