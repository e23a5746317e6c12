"""What departs from the protocol in a run or on a board: settings, the fraction of the training data, and the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from results.records.flat_settings import flatten_settings
from results.records.record import Record
from results.records.renamed_settings import find_new_name

COUNT_SETTINGS = ("shots", "percent", "max_items", "max_frames")
"""How many items a run has: always named where one is set, because neither protocol nor tier says it. ``None`` means
that the other one decides, or that there is no limit."""

_SHORT_OPTIONS = ("--shots", "--percent", "--runtime")
"""Options of ``bench run`` that are short forms of ``--set``."""


def list_departures(record: Record) -> tuple[str, ...]:
    """Return in which ways a run departs from its protocol, one short phrase each; empty if in none.

    The shortened schedule of a tier is no departure. Records of schema versions before 6 do not say which settings
    differ from the protocol's file: their recorded command says which ones were set, and a run that was started from
    Python does not say it at all.

    Args:
        record: the record of the run.

    Returns:
        For example ``("10 % of train", "k=1", "not the official data", "partial weights")``.
    """
    partial = ("partial weights",) if record.backbone.allow_partial else ()
    return (*list_board_departures([record]), *partial)


def list_board_departures(records: Sequence[Record]) -> tuple[str, ...]:
    """Return ``list_departures`` for the runs of one board, without what belongs to single rows (partial weights).

    Args:
        records: records with the same comparability key, so of the same settings and data; at least one.
    """
    config = records[0].config
    recipe = config.get("recipe")
    flat = dict(flatten_settings(recipe)) if isinstance(recipe, dict) else {}
    scale = config.get("data_scale", 1)
    # of an unknown kind or above 1 it can only have been made up, and is shown as it is
    is_fraction = isinstance(scale, int | float) and 0 < scale < 1
    found = [] if scale == 1 else [f"{100 * scale:g} % of train" if is_fraction else f"data_scale={scale}"]
    # Runs of one board have the same settings, so a single record that knows what differs speaks for all of them. All
    # of them are asked nevertheless: a record that hides a setting must not hide it on the rows of others.
    stated = [record.changed_settings for record in records if record.changed_settings is not None]
    changed = set().union(*stated) if stated else {name for each in records for name in _list_commanded_settings(each)}
    counts = {name for name in COUNT_SETTINGS if flat.get(name) is not None}
    found += [
        f"{name}={format_setting(flat[name])}"
        for name in sorted((changed | counts) & flat.keys())
        if not (name in COUNT_SETTINGS and flat[name] is None)
    ]
    # a setting that ids leave out at one value has no value in the record when the user chose that one
    found += [f"other {name}" for name in sorted(set().union(*stated) - flat.keys() - set(COUNT_SETTINGS))]
    if any(record.data.deviations for record in records):
        found.append("not the official data")
    if any(record.data.duplicates for record in records):
        found.append("test items in train")
    return tuple(found)


def format_setting(value: object) -> str:
    """Return the value of a setting as text; a whole number may be stored as 4 or as 4.0, and both are written as 4."""
    return "none" if value is None else str(value).removesuffix(".0")


def _list_commanded_settings(record: Record) -> Iterator[str]:
    """Yield the present names of the settings that a record's command sets; names that are no settings may be among."""
    option = ""
    for word in record.environment.command:
        if word.startswith("--"):
            option, equals, word = word.partition("=")
            if option in _SHORT_OPTIONS:
                yield option.removeprefix("--")
            if not equals:
                continue
        if option == "--set":
            name = word.partition("=")[0].strip()
            yield find_new_name(name) or name
