"""One line of the table of speeds."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One comparison: what, ours, the alternative, and ours / alternative (below 1 is faster)."""

    what: str
    ours: float
    other: float
    unit: str

    def cells(self) -> tuple[str, ...]:
        """As text."""
        return (
            self.what,
            f"{self.ours:.3f} {self.unit}",
            f"{self.other:.3f} {self.unit}",
            f"{self.ours / self.other:.2f}",
        )
