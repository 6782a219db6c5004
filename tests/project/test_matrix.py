"""The versions that `make test-matrix` runs on are those that the package says it is for."""

from __future__ import annotations

import tomllib

import pytest

from tests import matrix
from tests.processes import ROOT


def classified(topic: str) -> set[str]:
    """Return the versions of pyproject.toml's classifiers about a topic."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [name.rpartition(" :: ") for name in project["classifiers"]]
    return {version for name, _, version in found if name == topic and "." in version}


def test_every_version_is_classified() -> None:
    assert {pair.python for pair in matrix.all_pairs()} == classified(
        "Programming Language :: Python"
    )
    assert {pair.django for pair in matrix.all_pairs()} == classified("Framework :: Django")


def test_the_django_of_a_pair_takes_the_place_of_the_demos() -> None:
    lines = matrix.Pair("3.13", "6.1").requirements().splitlines()
    assert [line for line in lines if line.startswith("Django")] == ["Django~=6.1.0"]
    assert any(line.startswith("channels~=") for line in lines)
    assert any(line.startswith("pytest~=") for line in lines)


@pytest.mark.slow
def test_names_choose_pairs() -> None:
    assert matrix.chosen([]) == matrix.all_pairs()
    assert matrix.chosen(["3.12-6.0"]) == [matrix.Pair("3.12", "6.0")]
    (newest,) = matrix.chosen(["newest"])
    assert matrix.find_python(newest.python)
    with pytest.raises(SystemExit, match=r"no pair 3\.11-6\.1"):
        matrix.chosen(["3.11-6.1"])


def test_a_python_that_is_not_here_is_skipped() -> None:
    assert matrix.run(matrix.Pair("3.99", "6.1")).startswith("skipped: there is no Python 3.99")
