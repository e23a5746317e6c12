"""How many cases of bad input there are, by module; ``python -m tests.bad_inputs.test_count`` prints them."""

import importlib
import sys
from pathlib import Path

from tests.bad_inputs.bad_input import BadInput

MIN_CASES = 500


def count_cases() -> dict[str, int]:
    """The number of cases of each module of this folder that has some."""
    counts = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            cases: list[BadInput] = getattr(importlib.import_module(f"{__package__}.{path.stem}"), "CASES", [])
            # a line that stands twice is one case
            counts[path.stem.removeprefix("test_")] = len({(case.make, *case.words) for case in cases})
    return counts


def test_there_are_enough_cases() -> None:
    counts = count_cases()
    assert sum(counts.values()) >= MIN_CASES, counts
    # of what people thought of, too, and not only of what the parser itself lists
    assert sum(counts.values()) - counts["every_option"] >= MIN_CASES, counts


if __name__ == "__main__":
    for name, number in [*count_cases().items(), ("together", sum(count_cases().values()))]:
        sys.stdout.write(f"{number:6}  {name}\n")
