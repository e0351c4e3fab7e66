"""PyTorch's Linear and Conv2d on a device, in a user's own loop: `wrap`, `unwrap`, `cycles`; and
training on several devices, each of a rank of `torch.distributed`: `on_rank`.

import heddle.torch

heddle.torch.wrap(model, device, "bdwp", (2, 8), dense=["classifier"])
"""

try:
    from .sw.nn.in_torch import cycles, on_rank, unwrap, wrap
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    raise ImportError("heddle.torch needs PyTorch: pip install 'heddle[torch]'") from None

__all__ = ["cycles", "on_rank", "unwrap", "wrap"]
