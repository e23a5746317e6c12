"""Turn a class list and the user's options into the meaning of every label value. Imports no torch."""

from __future__ import annotations

import re

from engine.data.data_options import DataOptions
from foundation.errors import DataError, UserError
from segmentation.data.labels import IGNORE_INDEX, MAX_CLASSES, LabelSpace
from segmentation.data.own_folder.class_lists import ClassList

_VOID_NAMES = frozenset(("void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown"))


def make_own_label_space(classes: ClassList, options: DataOptions) -> tuple[LabelSpace, list[str]]:
    """Return the label space of a user's folder, and what was decided.

    ``--ignore VALUE`` takes a label value out, and the class that has no other one with it; ``--map VALUE=CLASS`` gives
    a value to a class, also one that had another meaning. Label 255 is ignored unless the list or an option names it.

    Args:
        classes: the list of classes.
        options: ``ignore`` and ``map`` are used.

    Raises:
        UserError: an option names no class, or a value has two meanings.
        DataError: fewer than two classes are left.
    """
    # from here on one table of label value and class; options change it in the order ignore, map
    meaning = dict(zip(classes.values, range(len(classes.names)), strict=True))
    # colors are numbered by their lines in the table, so that 255 is not special there
    ignored = set() if classes.colors or IGNORE_INDEX in meaning else {IGNORE_INDEX}
    ignored.update(classes.ignored)
    notes = []
    for value in options.ignore:
        _require_label_value(f"--ignore {value}", value, classes)
        # the class of the value goes with it, unless --map gives it another one below
        index = meaning.pop(value, None)
        ignored.add(value)
        what = f", so class {classes.names[index]!r} is left out" if index is not None else ""
        notes.append(f"--ignore {value}: {_name_value(classes, value)} is not counted{what}")
    for text, value, index in _parse_mappings(options, classes):
        meaning[value] = index
        ignored.discard(value)
        notes.append(f"--map {text}: {_name_value(classes, value)} is class {classes.names[index]!r}")
    kept = sorted(set(meaning.values()))
    if len(kept) < 2:
        raise DataError(
            f"--ignore and --map leave {len(kept)} of the {len(classes.names)} classes of {classes.file}, and it takes "
            "2; leave one of the options out"
        )
    # class indices have to be consecutive, so the later classes move up
    numbers = {old: new for new, old in enumerate(kept)}
    label_map = {value: numbers[index] for value, index in sorted(meaning.items())}
    names = tuple(classes.names[index] for index in kept)
    # the lookup table is in the fingerprint: an option that changes nothing leaves the id of the data alone
    is_plain = label_map == {index: index for index in range(len(names))}
    space = LabelSpace(
        num_classes=len(names),
        first_label=0,
        ignored_labels=tuple(sorted(ignored)),
        class_names=names,
        label_map=() if is_plain else tuple(label_map.items()),
        colors=classes.colors,
        color_table=classes.file.name if classes.colors else "",
        takes_options=True,
    )
    return space, [*notes, *_note_void_classes(space)]


def _note_void_classes(space: LabelSpace) -> list[str]:
    """Say which classes are probably no classes: the list has them, so they count unless the user says otherwise."""
    return [
        f"class {name!r} is learned and scored like any other; --ignore {value} leaves it out"
        for value, index in space.list_class_labels()
        for name in [space.class_names[index]]
        if name.lower().strip("_") in _VOID_NAMES
    ]


def _parse_mappings(options: DataOptions, classes: ClassList) -> list[tuple[str, int, int]]:
    """Return text, label value and class index of every ``--map``; a value has one meaning."""
    mapped: dict[int, int] = {}
    found = []
    for text in options.map:
        value, index = _parse_mapping(text, classes)
        if value in options.ignore:
            raise UserError(f"--ignore {value} and --map {text} contradict each other; leave one of them out")
        # the options are kept sorted, so "the last one wins" would not be the one that the user gave last
        if (other := mapped.setdefault(value, index)) != index:
            both = f"{classes.names[other]!r} and {classes.names[index]!r}"
            raise UserError(f"--map gives {_name_value(classes, value)} to {both}; leave one of the two out")
        found.append((text, value, index))
    return found


def _parse_mapping(text: str, classes: ClassList) -> tuple[int, int]:
    """Return the label value and the class index of ``VALUE=CLASS``."""
    found = re.fullmatch(r"\s*(\d+)\s*=\s*(.*\S)\s*", text)
    if found is None:
        raise UserError(
            f"--map {text} is not VALUE=CLASS; write for example --map 255=1 or --map 255={classes.names[1]}"
        )
    value, name = int(found[1]), found[2]
    _require_label_value(f"--map {text}", value, classes)
    # classes may be called "1" and "0", in this order
    index = classes.names.index(name) if name in classes.names else None
    number = int(name) if name.isdecimal() else None
    if index is not None and number is not None and index != number:
        raise UserError(f"--map {text}: {classes.file} has a class named {name} at number {index}; name it by number")
    if index is None and (number is None or number >= len(classes.names)):
        shown = ", ".join(classes.names[:6]) + (", ..." if len(classes.names) > 6 else "")
        raise UserError(
            f"--map {text}: {classes.file} has no class {name}; it has {shown} (0 to {len(classes.names) - 1})"
        )
    chosen = index if index is not None else number
    assert chosen is not None
    return value, chosen


def _require_label_value(option: str, value: int, classes: ClassList) -> None:
    last = len(classes.colors) - 1 if classes.colors else MAX_CLASSES
    if not 0 <= value <= last:
        what = f"{classes.file} numbers its colours 0 to {last}" if classes.colors else f"label values are 0 to {last}"
        raise UserError(f"{option}: {what}; write one of these")


def _name_value(classes: ClassList, value: int) -> str:
    if value < len(classes.colors):
        return f"colour {classes.colors[value]}"
    return f"label {value}"
