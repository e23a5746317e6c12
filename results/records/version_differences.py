"""Which versions of the code made the numbers that stand side by side."""

from __future__ import annotations

from collections.abc import Iterable

from results.records.record import Record

NUMBER_MAKING_PACKAGES = ("torch", "timm", "numpy", "opencv-python", "pillow")
"""Packages whose versions can move a number, besides bench itself."""


def describe_version_differences(records: Iterable[Record]) -> str:
    """Return in which versions of bench, torch, timm, numpy, OpenCV or Pillow runs differ, in words; empty if in none.

    Pinned numbers guard bench's own code within a version, so a difference is no fault. But where two rows differ by
    little, a reader should know that they were not made by the same code.
    """
    environments = [record.environment for record in records]
    parts = []
    versions = {each.packages.get("litevit-bench", "unknown") for each in environments}
    # a version under development has many commits; an installed one has none
    commits = {each.git_commit for each in environments}
    dirty = {bool(each.git_dirty) for each in environments}
    if len(versions) > 1:
        parts.append(f"bench {' and '.join(sorted(versions))}")
    elif len(commits) > 1:
        parts.append(f"bench at {len(commits)} commits")
    if len(dirty) > 1:
        parts.append("bench with and without uncommitted changes")
    for name in NUMBER_MAKING_PACKAGES:
        found = {each.packages.get(name, "none") for each in environments}
        if len(found) > 1:
            parts.append(f"{name} {' and '.join(sorted(found))}")
    return ", ".join(parts)
