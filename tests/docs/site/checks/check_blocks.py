"""Every block of Python in the documentation, by itself."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import logging
import logging.config
import os
import types
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db.utils import ConnectionHandler
from django.test import override_settings
from django.urls import get_resolver
from mysite import settings as site_settings
from realtime import ConnectionRefused, NamespaceConsumer
from realtime.testing import Client
from shop.models import Order

from conftest import Mount
from tests.docs.blocks import Block, all_blocks, check_output
from tests.docs.registry import is_executed_elsewhere

SITE = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1:8000"


def is_test(block: Block) -> bool:
    """Tell whether a block has tests: tests/docs/test_python.py has them run as such."""
    return "def test_" in block.code


def can_run(block: Block) -> bool:
    """Tell whether what a block needs is here: MariaDB's driver may be missing, but not in CI."""
    needs_driver = "backends.mysql" in block.code and "CI" not in os.environ
    return not needs_driver or find_spec("MySQLdb") is not None


BLOCKS = [
    block
    for block in all_blocks("python")
    if not is_executed_elsewhere(block) and not is_test(block) and can_run(block)
]

# Modules are kept, as those of a site are: receivers of signals are referred to weakly.
_modules: list[types.ModuleType] = []


def run(block: Block) -> dict[str, Any]:
    """Run a block in a module of its own, and return what it has defined."""
    path = block.path or ""
    module = types.ModuleType("block")
    _modules.append(module)
    module.__dict__["__package__"] = path.partition("/")[0] if "/" in path else ""
    if path.endswith("settings.py"):
        module.__dict__.update(deepcopy(_uppercase(vars(site_settings))))
        apps = module.__dict__["INSTALLED_APPS"]  # as they were before there was Realtime
        apps[:] = [app for app in apps if app not in ("daphne", "realtime")]
    before = deepcopy(_uppercase(vars(module)))
    code = block.code.replace(ADDRESS, os.environ["MYSITE_ADDRESS"])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, block.id, "exec"), module.__dict__)
    check_output(block, printed.getvalue(), "print", "#")
    return {
        name: value
        for name, value in vars(module).items()
        if name not in before or before[name] != value
    }


def _uppercase(names: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if name.isupper() and name != "FILES"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.id)
async def check_block(
    block: Block, page: Client, mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    await Order.objects.acreate(pk=7)
    if block.path and (SITE / block.path).exists() and "settings" not in block.path:
        if block.body.strip() in (SITE / block.path).read_text():
            return  # the site runs it
        assert block.path.startswith("mysite/"), f"{block.path} of the site is another one"
    defined = await asyncio.to_thread(run, block)
    check_settings(_uppercase(defined))
    check_urls(defined.get("urlpatterns"))
    for value in defined.values():
        if (
            isinstance(value, type)
            and issubclass(value, NamespaceConsumer)
            and value.__module__ == "block"
        ):
            await check_consumer(value, mount)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == []


def check_settings(defined: dict[str, Any]) -> None:
    """See that the checks of Django and Realtime have nothing to say of a block's settings."""
    databases = defined.pop("DATABASES", None)
    if databases is not None:
        connection = ConnectionHandler(databases)["default"]
        if connection.vendor == "sqlite":  # the others need a server, which tests of their own have
            connection.cursor().close()
            connection.close()
    if "LOGGING" in defined:
        check_logging(defined["LOGGING"])
    with override_settings(**defined):
        problems = [
            each
            for each in run_checks()
            if each.level >= logging.ERROR or str(each.id).startswith("realtime.")
        ]
        assert problems == []


def check_logging(configuration: dict[str, Any]) -> None:
    """Have Python take a LOGGING, and put everything back."""
    names = ["", *configuration.get("loggers", {})]
    loggers = [logging.getLogger(name) for name in names]
    before = [(each.handlers[:], each.level, each.propagate) for each in loggers]
    try:
        logging.config.dictConfig(deepcopy(configuration))
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


def check_urls(patterns: Any) -> None:
    if patterns is not None:
        module = types.ModuleType("urls_of_a_block")
        module.__dict__["urlpatterns"] = patterns
        resolver = get_resolver(module)  # type: ignore[arg-type]
        assert resolver.url_patterns
        assert resolver.check() == []


async def check_consumer(consumer: type[NamespaceConsumer], mount: Mount) -> None:
    """Connect to a consumer, known and not known: it accepts or refuses, and never fails."""
    mount("block/<int:pk>/", consumer)
    ada, _ = await User.objects.aget_or_create(username="ada")
    for options in ({}, {"user": ada}, {"user": ada, "auth": {"token": 1}}):
        try:
            async with Client("/block/7", **options) as client:
                assert client.sid
        except ConnectionRefused as refusal:
            if refusal.message in ("server error", "Invalid namespace"):
                raise


def check_every_file_of_the_site_that_a_page_names_is_there() -> None:
    named = {block.path for block in all_blocks("python") if (block.path or "").startswith("shop/")}
    assert named
    for name in named:
        assert (SITE / str(name)).exists(), f"tests/docs/site has no {name}"
        ast.parse((SITE / str(name)).read_text())
    assert django_settings.ROOT_URLCONF == "mysite.urls"
