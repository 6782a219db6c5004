"""That everything is translated, and that the compiled files are those of the texts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.utils import translation

import realtime
from realtime.models import Socket
from tests.services import missing

PACKAGE = Path(realtime.__file__).parent
LANGUAGES = sorted(folder.name for folder in (PACKAGE / "locale").iterdir())


@pytest.fixture(autouse=True)
def _gettext() -> Iterator[None]:
    if shutil.which("msgfmt") is None:
        missing("gettext", "apt-get install gettext")
    yield
    translation.deactivate()


def run(*command: str, cwd: Path) -> str:
    """Return what a command printed, errors too; fail where it failed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def texts(po: Path) -> set[str]:
    """Return the entries of a catalogue as they are asked for: context, text and plural."""
    lines = po.read_text().replace('"\n"', "").splitlines()
    return {line for line in lines if line.startswith(("msgctxt", "msgid"))}


def test_there_are_languages() -> None:
    assert LANGUAGES == ["ru"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language: str, tmp_path: Path) -> None:
    folder = Path("locale", language, "LC_MESSAGES")
    written = PACKAGE / folder / "django.po"
    check = ("msgfmt", "--check-format", "--statistics", "-o", "out.mo")
    statistics = run(*check, str(written), cwd=tmp_path)
    assert "fuzzy" not in statistics
    assert "untranslated" not in statistics
    copy = tmp_path / "realtime"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    options = ("--no-location", "--no-wrap", "--no-obsolete", "--locale", language)
    run(sys.executable, "-m", "django", "makemessages", *options, cwd=copy)
    assert texts(copy / folder / "django.po") == texts(written)


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_files_are_in_step(language: str, tmp_path: Path) -> None:
    folder = PACKAGE / "locale" / language / "LC_MESSAGES"
    run("msgfmt", "-o", str(tmp_path / "new.mo"), str(folder / "django.po"), cwd=tmp_path)
    catalogues = []
    for path in (folder / "django.mo", tmp_path / "new.mo"):
        with path.open("rb") as file:
            catalogues.append(GNUTranslations(file)._catalog)  # type: ignore[attr-defined]
    assert catalogues[0] == catalogues[1], "run make messages"


def test_russian() -> None:
    with translation.override("ru"):
        assert Socket._meta.verbose_name_plural == "сокеты"
