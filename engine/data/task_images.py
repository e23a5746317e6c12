"""What an analysis needs of the images of a task. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class TaskImages(Protocol):
    """The images of a split as network input: always the same pixels in the same order."""

    @property
    def labels(self) -> Sequence[int]:
        """Return the class index of each image, from 0."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``images`` (3, S, S) normalized, ``labels`` and ``item`` of image ``index``."""

    def get_image_name(self, index: int) -> str:
        """Return the name of an image; equal names within one data set mean the same image."""

    def get_preprocessing(self) -> dict[str, Any]:
        """Return every setting that affects the pixels of an image, as plain data."""
