"""The exceptions that a user may see.

Each message is one sentence that says what is wrong, where, and how to fix it.
"""

from __future__ import annotations


class BenchError(Exception):
    """The run itself failed. The command line prints the message and exits with code 1."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        # stripped here, since the loader builds the exception again from its wrapped text
        super().__init__(_strip_worker_traceback(message))


def _strip_worker_traceback(message: str) -> str:
    """Return the message without the traceback that torch's ``DataLoader`` wraps around it.

    When a worker process fails, the loader raises the worker's exception type again, with "Caught DataError in
    DataLoader worker ..." and the worker's complete traceback as its message.
    """
    if not (message.startswith("Caught ") and "\nOriginal Traceback" in message):
        return message
    # the traceback's last line is "foundation.errors.DataError: the sentence"
    return message.rstrip().rpartition("\n")[2].partition(": ")[2]


class UserError(BenchError):
    """Something that the user can fix: a name, an option, a file. Exit code 2."""

    exit_code = 2


class UnknownNameError(UserError):
    """A name is not in the registry, the configuration or the list of choices."""


class NameConflictError(UserError):
    """Two packages register the same name."""


class BrokenPluginError(UserError):
    """A plug-in is registered but cannot be used."""


class ConfigError(UserError):
    """A configuration is invalid; the message lists every fault that was found."""


class CheckpointError(UserError):
    """A checkpoint is missing, unreadable or unsafe, or it does not fit the model."""


class DataError(UserError):
    """Data are missing or are not what they should be."""


class NetworkError(UserError):
    """The network is switched off, or a server cannot be reached."""


class ArchiveError(UserError):
    """An archive cannot be read, is not what its manifest says, or holds what must not be unpacked."""


class StorageError(UserError, OSError):
    """A file or folder cannot be written or read: a full disk, a read-only one, no permission, a disk that fails.

    It is an ``OSError`` too, so that whoever can go on without a file catches it as before.

    Args:
        message: the complete sentence.
        number: the system's number of the error; 0 if it is not known.
        filename: the file or folder, if it is known.
        reason: why, in a few words, for a message that names the file itself.
    """

    strerror: str

    def __init__(self, message: str, number: int = 0, filename: str | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.errno, self.filename, self.strerror = number or None, filename, reason or message

    def __str__(self) -> str:
        """Return the sentence; that of an ``OSError`` would have its number in front and its file behind."""
        return str(self.args[0])


class RecordError(UserError):
    """A record cannot be read or must not be written."""


class NonFiniteError(BenchError):
    """A loss, a weight, a feature or an output is infinite or undefined, so no number may be computed from it."""


class TrainingDivergedError(NonFiniteError):
    """A training left the finite numbers; its weights are of no use."""


class IncompleteError(BenchError):
    """The scored items are not exactly those that the task requires, so no metric is computed."""
