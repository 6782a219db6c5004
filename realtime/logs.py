"""
Structured log lines: ``connect namespace=/ sid=... user=...``, and the same as fields.

None may fill the log, whoever causes it: a `Connection` keeps account of its client's, and `log` of
all others, by kind. Only what is limited otherwise is given to `write`.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

from .conf import get_settings
from .utils.limits import Bucket, LineLimiter, Rate

logger = logging.getLogger("realtime")

# As much of a session's id as log lines have: all of it is a secret.
SHOWN = 12

# Characters of a value that a line has, as they stand there.
MAX_VALUE = 200

# How many lines of one kind one client may cause, or all that is no client's: those of each level
# from this one on, and those with tracebacks, each of which is as long as many lines.
_LINE_RATES = {logging.WARNING: Rate(10, 10.0), logging.NOTSET: Rate(20, 20.0)}
_TRACEBACK_RATE = Rate(3, 30.0)

# How many tracebacks all together may cause, who could come with a new connection for each. Lines
# beyond that go without.
_ALL_TRACEBACKS = Rate(30, 30.0)


def is_logged(level: int) -> bool:
    """Tell whether anybody reads lines of a level."""
    return logger.isEnabledFor(level)


def log(
    level: int, what: str, *, exc_info: bool | BaseException | None = False, **fields: Any
) -> bool:
    """
    Write a line that is of no client's connection, unless there are too many of its kind; tell
    whether there were not.
    """
    return _of_process.log(level, what, exc_info=exc_info, **fields)


def tell_skipped() -> None:
    """Log how many of these were left out and not told of yet: the process ends."""
    _of_process.tell_skipped()


def write(
    level: int, what: str, *, exc_info: bool | BaseException | None = False, **fields: Any
) -> None:
    """
    Log `what` with its fields, as text and as ``record.realtime`` (a dict) for other formatters.

    Values with spaces or line breaks are quoted, so that no client can forge a line. There is no
    limit to how many: see `log`.
    """
    if not is_logged(level):
        return
    text = " ".join(f"{name}={_quote(value)}" for name, value in fields.items())
    logger.log(level, "%s %s", what, text, exc_info=exc_info, extra={"realtime": fields})


class Lines:
    """
    The log lines that one client causes, or that no client's connection has: of each kind so many
    at once, then one a second; with tracebacks, one in ten. The next line of a kind tells how many
    were `skipped` before it.
    """

    __slots__ = ("_level", "_limiter")

    def __init__(self) -> None:
        self._limiter = LineLimiter()
        self._level = logging.NOTSET  # the highest of the lines that were left out

    def log(
        self,
        level: int,
        what: str,
        *,
        exc_info: bool | BaseException | None = False,
        **fields: Any,
    ) -> bool:
        """Log what `write` does, unless it is one too many; tell whether it was not."""
        if not is_logged(level):
            return True
        rate = _TRACEBACK_RATE
        if not exc_info:
            rate = next(rate for lowest, rate in _LINE_RATES.items() if level >= lowest)
        skipped = self._limiter.admit(what, rate)
        if skipped is None:
            self._level = max(self._level, level)
            return False
        if skipped:
            fields["skipped"] = skipped
        if exc_info and not _tracebacks.consume(time.monotonic()):
            fields.setdefault("error", _name_error(exc_info))
            exc_info = False
        write(level, what, exc_info=exc_info, **fields)
        return True

    def tell_skipped(self, **fields: Any) -> None:
        """Log how many lines of each kind were left out since the last one."""
        skipped = self._limiter.pop_skipped()
        if skipped:
            kinds = " ".join(f"{what}:{count}" for what, count in skipped.items())
            write(self._level, "unlogged", **fields, skipped=sum(skipped.values()), kinds=kinds)


_of_process = Lines()
_tracebacks = Bucket(_ALL_TRACEBACKS, time.monotonic())


def _name_error(error: bool | BaseException) -> str:
    """Return what stands in the place of a traceback."""
    found = error if isinstance(error, BaseException) else sys.exception()
    return type(found).__name__


def describe(error: BaseException) -> str:
    """Return an error as a log line has it, which never fails."""
    return f"{type(error).__name__}: {_text(error)}"


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # a site's own class, whose fault must not become another's
        return f"<{type(value).__name__}, whose text raises {type(error).__name__}>"


def _quote(value: Any) -> str:
    text = _text(value)[: MAX_VALUE + 1]
    if text.isprintable() and text and " " not in text and '"' not in text:
        return text[:MAX_VALUE]
    quoted, room = "", MAX_VALUE
    for character in text:
        shown = _show(character)
        room -= len(shown)
        if room < 0:
            break
        quoted += shown
    return f'"{quoted}"'


def _show(character: str) -> str:
    """Return a character as it stands between quotes: what cannot be seen there is escaped."""
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    if character in "\n\r":
        return repr(character)[1:-1]
    kind = "u" if "\ud800" <= character <= "\udfff" else "x"
    return f"\\{kind}{ord(character):02x}"


class HideSessionIds(logging.Filter):
    """
    Cuts the ids of sessions in Realtime's URLs, and the secrets by which clients come back to them,
    wherever they stand in a record.

    It is for any logger or handler that gets URLs, by ``LOGGING`` or by hand.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._cut(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(self._cut(each) for each in record.args)
        elif isinstance(record.args, Mapping):
            record.args = {name: self._cut(each) for name, each in record.args.items()}
        return True

    def _cut(self, value: Any) -> Any:
        return cut_secrets(value) if isinstance(value, str) and "id=" in value else value


def cut_secrets(text: str) -> str:
    """
    Return a text with all but the start of each secret in Realtime's URLs cut off: the ids of
    Socket.IO's sessions, and the pids by which plain WebSockets come back.
    """
    settings = get_settings()
    text = _cut_parameter(text, re.escape(settings.PATH.rstrip("/")) + "/?", "sid")
    if settings.PLAIN_PATH is None:
        return text
    return _cut_parameter(text, re.escape(settings.PLAIN_PATH) + r'[^\s"?#]*', "pid")


def _cut_parameter(text: str, path: str, name: str) -> str:
    pattern = rf'({path}\?(?:[^\s"#]*&)?{name}=[^\s"&#]{{{SHOWN}}})[^\s"&#]+'
    return re.sub(pattern, r"\1...", text)
