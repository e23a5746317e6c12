"""Our architectures: timm's own classes under names of ours, registered with timm.

Importing this package is what registers them; a card names it in its ``module``.
"""

from __future__ import annotations

from backbones.architectures import cifar, hiera, plain, rpe, swin

__all__ = ["cifar", "hiera", "plain", "rpe", "swin"]
