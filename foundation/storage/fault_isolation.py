"""Keep one bad record or file from stopping a command that has many: whatever goes wrong with it becomes a sentence.

Readers check what they read, so what arrives here is a gap in such a check, or a bug. Neither is hidden: the sentence
names the type and the message of the error, and ``bench --debug`` also writes its trace.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from foundation.display_text import escape_controls, format_one_line
from foundation.errors import BenchError, RecordError
from foundation.storage.write_faults import find_storage_error

MAX_MESSAGE = 300
"""Number of characters of a library's message that a sentence quotes."""

_shows_traces = False


def show_traces(is_shown: bool) -> None:
    """Set whether the trace of an unforeseen error is written to stderr, which ``--debug`` asks for."""
    global _shows_traces
    _shows_traces = is_shown


@contextmanager
def convert_faults(what: str) -> Iterator[None]:
    """Turn every error inside into a ``RecordError``, for which the callers that have many records have a place.

    Args:
        what: what could not be done, for the sentence, for example ``cannot read runs/digits/x/record.json``.

    Raises:
        RecordError: anything went wrong inside. Our own errors keep their sentence, which names the place already.
    """
    try:
        yield
    except RecordError:
        raise
    except BenchError as error:
        raise RecordError(str(error)) from error
    except Exception as error:
        raise RecordError(f"{what}: {find_storage_error(error) or describe_fault(error)}") from error


def describe_fault(error: Exception) -> str:
    """Return type and message of an unforeseen error on one line, and write its trace if that is asked for.

    >>> describe_fault(ZeroDivisionError("division by zero"))
    'unexpected ZeroDivisionError: division by zero'
    """
    if _shows_traces:
        sys.stderr.write(escape_controls("".join(traceback.format_exception(error))))
    message = format_one_line(str(error))
    text = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]} ..."
    return f"unexpected {type(error).__name__}: {text or 'no message'}"
