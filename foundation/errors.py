"""The exceptions a user may meet. Each message is one sentence: what, where, how to mend."""

from __future__ import annotations


class BenchError(Exception):
    """A failure of the run itself: the command line prints its message and exits with 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(_strip_worker_traceback(message))


def _strip_worker_traceback(message: str) -> str:
    """The sentence itself: torch's loader hands a worker's error on as a text around the worker's whole trace."""
    if not (message.startswith("Caught ") and "\nOriginal Traceback" in message):
        return message
    return message.rstrip().rpartition("\n")[2].partition(": ")[2]


class UserError(BenchError):
    """Something the user can mend (a name, an option, a file): exit code 2."""

    exit_code = 2


class UnknownNameError(UserError):
    """A name that is in no registry, configuration or choice."""


class NameConflictError(UserError):
    """Two origins claim one name."""


class BrokenPluginError(UserError):
    """A plug-in that is registered but cannot be used."""


class ConfigError(UserError):
    """A configuration that does not hold; the message lists every fault found."""


class CheckpointError(UserError):
    """A checkpoint that is missing, unreadable, unsafe or does not fit."""


class DataError(UserError):
    """Data that is missing or not what it should be."""


class RecordError(UserError):
    """A record that cannot be read or may not be written."""


class IncompleteError(BenchError):
    """Fewer (or other) items were scored than the task demands, so there is no number."""
