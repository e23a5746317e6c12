"""Give all processes the buffers of the first one before a validation."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook

from engine.device import get_dist_info


class SharedBuffersHook(Hook):
    """Copies the buffers of the first process to the others before each validation.

    Without synchronized batch norm every process has running statistics of its own, but only those of the first are
    saved. So the weights that are validated are the ones that are saved, and a resumed run validates the same.
    """

    def before_val_epoch(self, runner: Any) -> None:
        """Copy the buffers, if there are several processes."""
        if get_dist_info()[1] > 1:
            for buffer in runner.model.buffers():
                torch.distributed.broadcast(buffer, src=0)
