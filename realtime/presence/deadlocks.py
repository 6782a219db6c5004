"""Transactions that the database gives up for the sake of another one, and that are made again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError

P = ParamSpec("P")
Result = TypeVar("Result")

# How often one is made, and up to how many seconds apart.
ATTEMPTS = 6
PAUSE = 0.02

# What PostgreSQL, and what MariaDB and MySQL call it.
STATES = ("40001", "40P01")
NUMBERS = (1205, 1213)


def made_again(transaction: Callable[P, Result]) -> Callable[P, Result]:
    """Make a method that is one transaction again where that ends in a deadlock, a few times."""

    @wraps(transaction)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> Result:
        for _ in range(ATTEMPTS - 1):
            try:
                return transaction(*args, **kwargs)
            except OperationalError as error:
                if not is_deadlock(error):
                    raise
            time.sleep(random.uniform(0, PAUSE))
        return transaction(*args, **kwargs)

    return attempt


def is_deadlock(error: OperationalError) -> bool:
    """Tell whether a transaction failed only because another one was in its way."""
    cause = error.__cause__
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return state in STATES
    return bool(cause is not None and cause.args and cause.args[0] in NUMBERS)
