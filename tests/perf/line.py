"""One line of the table of speeds."""

from __future__ import annotations

from typing import NamedTuple


class SpeedRatio(NamedTuple):
    """One comparison: what, ours, the alternative, and ours / alternative (below 1 is faster)."""

    name: str
    ours: float
    alternative: float
    unit: str

    def to_cells(self) -> tuple[str, ...]:
        """As text."""
        return (
            self.name,
            f"{self.ours:.3f} {self.unit}",
            f"{self.alternative:.3f} {self.unit}",
            f"{self.ours / self.alternative:.2f}",
        )
