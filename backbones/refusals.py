"""Refusals from which a plan learns what a backbone can. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from foundation.errors import UserError


class PoolingError(UserError):
    """The backbone cannot be pooled as asked.

    Attributes:
        reason: why, as a part of a sentence.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[PoolingError], tuple[str, str]]:
        """Keep the reason when the error crosses to another process."""
        return type(self), (str(self), self.reason)


class PatchSizeError(UserError):
    """Height and width of the input are not multiples of the patch.

    Attributes:
        patch: height and width of which they must be multiples, pixels.
    """

    def __init__(self, message: str, patch: tuple[int, int]) -> None:
        super().__init__(message)
        self.patch = patch

    def __reduce__(self) -> tuple[type[PatchSizeError], tuple[str, tuple[int, int]]]:
        """Keep the patch when the error crosses to another process."""
        return type(self), (str(self), self.patch)


class StoredRefusal(NamedTuple):
    """A refusal as plain data, for a cache."""

    kind: Literal["pooling", "patch"]
    message: str
    detail: str | list[int]


def store_refusal(error: PoolingError | PatchSizeError) -> dict[str, Any]:
    """Return a refusal as plain data."""
    if isinstance(error, PoolingError):
        return StoredRefusal("pooling", str(error), error.reason)._asdict()
    return StoredRefusal("patch", str(error), list(error.patch))._asdict()


def restore_refusal(content: dict[str, Any]) -> PoolingError | PatchSizeError:
    """Return the refusal of which ``store_refusal`` gave the data.

    Raises:
        LookupError, TypeError, ValueError: the data are not such.
    """
    if content["kind"] == "pooling":
        return PoolingError(str(content["message"]), str(content["detail"]))
    height, width = content["detail"]
    return PatchSizeError(str(content["message"]), (int(height), int(width)))
