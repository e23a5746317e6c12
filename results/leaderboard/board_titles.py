"""What a board is, and the heading that no other board of a table has."""

from __future__ import annotations

import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from results.leaderboard.departures import format_setting
from results.records.flat_settings import flatten_settings
from results.records.identity import FILE_OPTIONS
from results.records.record import Record

_DIGEST = re.compile(r"^([0-9a-f]{12})[0-9a-f]{52}$")
"""The SHA-256 of a teacher's weights, of which a heading shows the first 12 digits. Boards whose headings would then
be the same get the start of their keys."""


class BoardKey(NamedTuple):
    """What the rows of one board have in common, and what distinguishes the board from all others."""

    task: str
    protocol: str
    tier: str
    comparability: str
    primary_metric: str


def format_board_title(key: BoardKey, departures: Sequence[str], settings: str) -> str:
    """Return the heading of a board: ``digits · knn · full · k=1``."""
    return " · ".join(filter(None, (key.task, key.protocol, key.tier, ", ".join(departures), settings)))


def find_distinguishing_settings(
    firsts: Mapping[BoardKey, Record], departures: Mapping[BoardKey, Sequence[str]]
) -> dict[BoardKey, str]:
    """Return for each board the settings in which boards of the same task, protocol and tier differ, as ``epochs=4``.

    What a board's departures say is left out. Boards that still have the same heading get the start of their key.

    Args:
        firsts: one record of each board.
        departures: the departures of each board.
    """
    alike: dict[tuple[str, ...], dict[BoardKey, dict[str, str]]] = defaultdict(dict)
    for key, record in firsts.items():
        # data and protocol version are part of the comparability key as well, so boards may differ in them alone
        data = {"data": record.data.fingerprint[:8], "version": record.protocol_version}
        # the departures always name the fraction of the data, and so does its absence
        leaves = flatten_settings(
            {**record.config, **data, "data_options": _describe_options(record)} | {"data_scale": None}
        )
        # --set names the settings of the recipe without a prefix; key[:3] is task, protocol and tier
        alike[key[:3]][key] = {
            name.removeprefix("recipe."): _DIGEST.sub(r"\1", format_setting(value)) for name, value in leaves
        }
    found = {}
    for boards in alike.values():
        names = sorted(set().union(*boards.values()))
        differing = [name for name in names if len({flat.get(name) for flat in boards.values()}) > 1]
        for key, flat in boards.items():
            words = [f"{name}={flat[name]}" for name in differing if flat.get(name, "none") != "none"]
            found[key] = ", ".join(word for word in words if word not in departures[key])
    return _tell_titles_apart(found, departures)


def _describe_options(record: Record) -> dict[str, str]:
    """Return the options of the data that are part of the id, each in at most a few words."""
    texts = {
        # one excluded file or a hundred: the heading stays a line
        name: textwrap.shorten(" ".join(map(str, value)) if isinstance(value, list) else str(value), 60)
        for name, value in record.data.options.items()
    }
    # the content of a table of labels or colours is in the fingerprint, and its name says nothing
    return {name: text for name, text in texts.items() if name not in FILE_OPTIONS}


def _tell_titles_apart(
    settings: Mapping[BoardKey, str], departures: Mapping[BoardKey, Sequence[str]]
) -> dict[BoardKey, str]:
    """Return the settings of each board; boards whose heading would be the same get more and more of their keys."""
    found = dict(settings)
    names = (
        {key: f"key {key.comparability[:8]}" for key in found},
        {key: f"{key.primary_metric}, key {key.comparability}" for key in found},
    )
    for name_by_key in names:
        titles = {key: format_board_title(key, departures[key], text) for key, text in found.items()}
        counts = Counter(titles.values())
        found |= {
            key: ", ".join(filter(None, (settings[key], name)))
            for key, name in name_by_key.items()
            if counts[titles[key]] > 1
        }
    return found
