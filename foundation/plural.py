"""Counts in a sentence."""

from __future__ import annotations


def format_count(number: int, noun: str) -> str:
    """A number and a noun that takes an ``s`` in the plural.

    >>> format_count(1, "frame"), format_count(2, "thread")
    ('1 frame', '2 threads')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
