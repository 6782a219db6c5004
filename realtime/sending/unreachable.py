"""What a call that wants no answer does where no client can be reached."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..conf import get_settings
from ..exceptions import LayerUnavailable, NotRunning
from . import surroundings, unsent

# Nobody can be reached, which is no fault of what was to be sent.
ERRORS = (NotRunning, LayerUnavailable)

HINT = "UNREACHABLE in REALTIME says whether this is raised"

# Whether it is raised whatever the setting says, for who has to know.
_raising: ContextVar[bool] = ContextVar("realtime_raising", default=False)


@contextmanager
def raising() -> Iterator[None]:
    """Let what fails in this block be raised, whatever the setting says."""
    token = _raising.set(True)
    try:
        yield
    finally:
        _raising.reset(token)


def should_raise() -> bool:
    """
    Tell whether it is raised here that nobody can be reached, by ``REALTIME["UNREACHABLE"]``.

    "auto" looks only now where the code runs, so that what is sent costs nothing for it.
    """
    if _raising.get():
        return True
    choice = get_settings().UNREACHABLE
    if choice != "auto":
        return choice == "raise"
    return not (surroundings.is_test() or surroundings.is_command())


def raise_or_log(error: Exception, **fields: Any) -> None:
    """Raise one of `ERRORS`, or log it, as the setting UNREACHABLE says."""
    if should_raise():
        raise error
    unsent.note(logging.WARNING, error, **fields, hint=HINT)


def log_after_commit(error: Exception, **fields: Any) -> None:
    """Log any error that came after a commit: raised, it would keep other hooks from running."""
    if isinstance(error, ERRORS) and not should_raise():
        raise_or_log(error, **fields)
    else:
        unsent.note(logging.ERROR, error, **fields)
