"""Find items that are in two splits: a test that contains training images measures memory, not the backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MAX_NAMED_PAIRS = 3


def find_duplicates(splits: Mapping[str, Iterable[tuple[str, str]]]) -> tuple[str, ...]:
    """Return one sentence for each two splits that share content; empty if none do.

    Args:
        splits: name and content digest of each item, by split.

    >>> find_duplicates({"train": [("a.png", "1f"), ("b.png", "2e")], "test": [("c.png", "2e")]})
    ('1 item of test has the content of an item of train: c.png = b.png',)
    """
    seen: dict[str, dict[str, str]] = {}  # of each split so far: the first name with each digest
    sentences = []
    for split, items in splits.items():
        own: dict[str, str] = {}
        shared: dict[str, list[tuple[str, str]]] = {}
        for name, digest in items:
            own.setdefault(digest, name)
            for other, names in seen.items():
                if digest in names:
                    shared.setdefault(other, []).append((name, names[digest]))
        seen[split] = own
        sentences += [_format_pairs(split, other, pairs) for other, pairs in shared.items()]
    return tuple(sentences)


def _format_pairs(split: str, other: str, pairs: list[tuple[str, str]]) -> str:
    shown = ", ".join(f"{name} = {twin}" for name, twin in pairs[:MAX_NAMED_PAIRS])
    more = f" and {len(pairs) - MAX_NAMED_PAIRS:,} more" if len(pairs) > MAX_NAMED_PAIRS else ""
    count = f"{len(pairs):,} items of {split} have" if len(pairs) > 1 else f"1 item of {split} has"
    return f"{count} the content of an item of {other}: {shown}{more}"
