"""Shell commands of the documentation, parsed by the programs that they call."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from argparse import ArgumentParser
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from django.core.management import get_commands, load_command_class

from tests.processes import ROOT

# A variable, as in a file for systemd, or in front of a command.
VARIABLE = re.compile(r"[A-Z_]+=\S*")

# Programs that are not ours to check, and words of the shell itself.
FOREIGN = {"systemctl", "certbot", "sleep", "for", "until", "done"}


def check_script(script: str) -> None:
    """Fail where a script is no shell, calls what does not exist, or gives an unknown option."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    for command in commands(script):
        check_command(command)


def commands(script: str) -> list[list[str]]:
    """Return a script's commands, each with its arguments, without variables in front."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and VARIABLE.fullmatch(words[0]):
            del words[0]
        if words:
            found.append(words)
    return found


def check_command(command: list[str]) -> None:
    """Fail where a command's program does not exist, or does not know its options."""
    program, *arguments = command
    name = Path(program).name
    if name in FOREIGN:
        return
    assert name in PROGRAMS, f"{name!r}: tests/docs/shell.py has no rule for this program"
    PROGRAMS[name](arguments)


def _python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        module, *rest = arguments[1:]
        if module == "django":
            _django(rest)
        elif module in PROGRAMS:
            PROGRAMS[module](rest)
        else:
            _module(module, rest)
    else:
        assert arguments[0] == "manage.py", arguments
        _django(arguments[1:])


def _module(module: str, options: list[str]) -> None:
    command = (sys.executable, "-m", module, "--help")
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for option in options:
        assert option in shown.stdout, f"{module} has no option {option}"


def _django(arguments: list[str]) -> None:
    name, *options = arguments
    app = "django.core" if name in ("startproject", "startapp") else get_commands()[name]
    command = load_command_class(app, name) if isinstance(app, str) else app
    _parse(command.create_parser("manage.py", name), options)


def _parse(parser: ArgumentParser, arguments: list[str]) -> None:
    try:
        parser.parse_args(arguments)
    except SystemExit as error:
        raise AssertionError(f"{parser.prog} does not take {arguments}") from error


def _pip(arguments: list[str]) -> None:
    assert arguments[0] == "install", arguments
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in arguments[1:]:
        name, _, extras = requirement.rstrip("]").partition("[")
        if name == project["name"]:
            assert set(extras.split(",")) - {""} <= project["optional-dependencies"].keys(), extras


def _make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in arguments:
        assert re.search(rf"^{target}:", makefile, re.M), f"make has no target {target!r}"


def _uvicorn(arguments: list[str]) -> None:
    import_module("uvicorn.main").main.make_context("uvicorn", arguments)


def _daphne(arguments: list[str]) -> None:
    _parse(import_module("daphne.cli").CommandLineInterface().parser, arguments)


def _granian(arguments: list[str]) -> None:
    import_module("granian.cli").cli.make_context("granian", arguments)


def _hypercorn(arguments: list[str]) -> None:
    _module("hypercorn", [each for each in arguments if each.startswith("-")])


def _gunicorn(arguments: list[str]) -> None:
    _parse(import_module("gunicorn.config").Config().parser(), arguments)


def _curl(arguments: list[str]) -> None:
    """Leave it to the test that runs it."""
    assert any("//127.0.0.1:8000/" in each for each in arguments), "not of the examples' site"


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "python": _python,
    "pip": _pip,
    "make": _make,
    "uvicorn": _uvicorn,
    "daphne": _daphne,
    "granian": _granian,
    "hypercorn": _hypercorn,
    "gunicorn": _gunicorn,
    "curl": _curl,
}
