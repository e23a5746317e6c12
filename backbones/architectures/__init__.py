"""The architectures that bench adds: timm's classes with other sizes, registered with timm under new names.

Importing this package registers them. A card names the package in its ``module`` field, so that the import happens
when the backbone is created.
"""

from __future__ import annotations

from backbones.architectures import cifar, hiera, plain, rpe, swin

__all__ = ["cifar", "hiera", "plain", "rpe", "swin"]
