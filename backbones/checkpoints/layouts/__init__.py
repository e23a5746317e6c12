"""The names and shapes that other projects give the tensors of known architectures, one file per project."""

from backbones.checkpoints.layouts.catalogue import LAYOUTS, convert_layout, find_layout, isolate_trunk

__all__ = ["LAYOUTS", "convert_layout", "find_layout", "isolate_trunk"]
