"""What a user says of the layout of data of his own: which files count, and what their labels mean. Imports no torch.

The options travel in the run scope, as ``--hash-all`` does, because many functions read data and all of them must read
the same. A reader asks ``get_data_options``. What an option changes (names, labels, boxes) is covered by the
fingerprint of the data; the options themselves stand in the record and are part of the run's id.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from engine.recipe import StrictConfig
from engine.task import Task
from foundation.errors import ConfigError, DataError, UserError
from foundation.run_scope import get_run_scope
from results.records.strict_model import format_validation_errors


def _require_inner_path(text: str) -> str:
    parts = text.replace("\\", "/").strip("/").split("/")
    if text.startswith("/") or ".." in parts or parts == [""]:
        raise ValueError(f"{text!r} is not a path below the data folder; write it as seen from there")
    return "/".join(part for part in parts if part not in ("", "."))


def _sort_values(values: tuple[Any, ...]) -> tuple[Any, ...]:
    # neither their order nor a repetition means anything, so that it must not move an id
    return tuple(sorted(set(values)))


class DataOptions(StrictConfig):
    """The options; without a value, the reader decides or refuses.

    Attributes:
        layout: whether the folders at the top of the data are ``splits`` or ``classes``.
        nested_classes: what names the class of an image below a class's subfolder: the whole ``path``, the ``leaf``
            (its own folder), or the ``top`` folder.
        exclude: files and folders to leave out, relative to the data folder; ``*`` and ``?`` as in a shell.
        labels: table of file, label and split; see ``find_option_file``.
        ignore: label values that are not scored.
        map: pairs ``VALUE=CLASS`` of label values and classes.
        colours: table of colours and classes; see ``find_option_file``.
        target: which of several annotated targets to track.
    """

    layout: Literal["splits", "classes"] | None = None
    nested_classes: Literal["path", "leaf", "top"] | None = None
    exclude: Annotated[
        tuple[Annotated[str, AfterValidator(_require_inner_path)], ...], AfterValidator(_sort_values)
    ] = ()
    labels: str | None = None
    ignore: Annotated[tuple[Annotated[int, Field(ge=-(2**31), lt=2**31)], ...], AfterValidator(_sort_values)] = ()
    map: Annotated[tuple[str, ...], AfterValidator(_sort_values)] = ()
    colours: str | None = None
    target: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the options that were given, as plain data for the record; empty if none was."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value not in (None, [])}

    def restrict_to(self, names: Collection[str]) -> DataOptions:
        """Return the options of these names alone."""
        return self.model_copy(
            update={name: field.default for name, field in type(self).model_fields.items() if name not in names}
        )

    def make_files_absolute(self, root: Path) -> DataOptions:
        """Return the options for a process that runs in another folder; a file below the data is found from there too.

        Args:
            root: the data folder.
        """
        files = {name: text for name in ("labels", "colours") if (text := getattr(self, name)) is not None}
        outside = {name: text for name, text in files.items() if not (root / text).is_file()}
        return self.model_copy(update={name: str(Path(text).absolute()) for name, text in outside.items()})


NO_OPTIONS = DataOptions()


def make_data_options(given: Mapping[str, Any]) -> DataOptions:
    """Return the options that a user gave.

    Args:
        given: value by name; ``None`` and empty lists are as if they were not given.

    Raises:
        ConfigError: an unknown name or a value of the wrong kind.

    >>> make_data_options({"exclude": ["raw", "notes/*.txt"], "layout": None}).as_dict()
    {'exclude': ['notes/*.txt', 'raw']}
    """
    plain = {
        # a list of the command line or of a record; the strict model converts nothing
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None and value != [] and value != ()
    }
    try:
        return DataOptions.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(f"the options of the data are wrong: {format_validation_errors(error)}") from error


def get_data_options() -> DataOptions:
    """Return the options of the present run; outside of a run none is given."""
    options = get_run_scope().data_options
    return options if isinstance(options, DataOptions) else NO_OPTIONS


def find_option_file(root: Path, text: str) -> Path:
    """Return the file that an option names: below the data folder, or as seen from the working folder.

    Args:
        root: the data folder.
        text: a path.

    Raises:
        DataError: there is no such file.
        UserError: there are two different ones.
    """
    inside, outside = root / text, Path(text)
    found = [path for path in (inside, outside) if path.is_file()]
    if not found:
        # a record is verified in other places than it was made in, where its path cannot be changed
        elsewhere = "" if outside.is_absolute() else f", and no {text} in the working folder"
        raise DataError(f"there is no file {inside}{elsewhere}; check the path, or put the file there")
    if len(found) == 2 and not inside.samefile(outside) and inside.read_bytes() != outside.read_bytes():
        raise UserError(f"{inside} and {outside.absolute()} differ; name the one that you mean by its absolute path")
    return found[0]


def require_task_options(task: Task, options: DataOptions) -> None:
    """Refuse options that a task does not take: without an effect they would only seem to hold.

    Raises:
        UserError: there is one; names those that the task takes.
    """
    foreign = [name for name in options.as_dict() if name not in task.data_options]
    if foreign:
        words = ", ".join(map(name_option, task.data_options))
        takes = f"it takes {words}" if words else "its layout is fixed"
        raise UserError(f"task {task.name} has no {name_option(foreign[0])}: {takes}; leave it out")


def name_option(name: str) -> str:
    """Return how an option is written on the command line."""
    return f"--{name.replace('_', '-')}"


def format_exclusion(*patterns: str) -> str:
    """Return the option that leaves files out, as it can be pasted into a shell.

    >>> format_exclusion("a/0.png", "photo [1].png", "-.png")
    "--exclude a/0.png 'photo [1].png' ./-.png"
    """
    # what begins with a dash would be taken for an option
    return " ".join(["--exclude", *(shlex.quote(f"./{each}" if each[:1] == "-" else each) for each in patterns)])


def describe_unmatched(pattern: str, root: Path) -> str:
    """Say that ``--exclude`` matches nothing, and what was meant where the data's folder was put before it."""
    sentence = f"--exclude {pattern} matches no file below {root}"
    for folder in (root.as_posix(), root.absolute().name):
        if pattern.startswith(f"{folder}/"):
            inner = format_exclusion(pattern.removeprefix(f"{folder}/"))
            return f"{sentence}, in which paths begin; write {inner}"
    return f"{sentence}; correct it, or leave it out"
