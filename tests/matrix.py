"""
The quick tests and the official clients with each Python and Django that go together.

`python -m tests.matrix` takes all pairs, or those that are named: ``3.12-6.0``, or ``newest``,
which is the newest one whose Python is here. Each has an environment of its own in ``.matrix/``.
A Python that is not on this machine is said, and skipped; in CI it is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".matrix"

# What Django's release notes say: 5.2 is for 3.10 to 3.14, 6.0 and 6.1 are for 3.12 and newer.
PAIRS = {
    "3.11": ("5.2",),
    "3.12": ("5.2", "6.0", "6.1"),
    "3.13": ("5.2", "6.0", "6.1"),
}

TESTS = (
    "tests/protocol",
    "tests/unit",
    "tests/clients/test_python_client.py",
    "tests/clients/test_node_client.py",
)


class Pair(NamedTuple):
    """A version of Python, and one of Django that runs on it."""

    python: str
    django: str

    def __str__(self) -> str:
        return f"{self.python}-{self.django}"

    def requirements(self) -> str:
        """Return what the tests need, with this Django instead of the demo's."""
        names = ("requirements.txt", "requirements-cluster.txt", "requirements-dev.txt")
        lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
        others = [line for line in lines if not line.startswith(("Django~=", "-r "))]
        return "\n".join([f"Django~={self.django}.0", *others, ""])


def all_pairs() -> list[Pair]:
    """Return the pairs that Django supports, the newest last."""
    return [Pair(python, django) for python, djangos in PAIRS.items() for django in djangos]


def chosen(names: list[str]) -> list[Pair]:
    """Return the pairs of these names, all of them without a name; exit where one is unknown."""
    pairs = {str(pair): pair for pair in all_pairs()}
    newest = (pair for pair in reversed(all_pairs()) if find_python(pair.python))
    pairs["newest"] = next(newest, all_pairs()[-1])
    if unknown := [name for name in names if name not in pairs]:
        sys.exit(f"There is no pair {', '.join(unknown)}; there are {', '.join(pairs)}.")
    return [pairs[name] for name in names] or all_pairs()


def candidates(version: str) -> Iterator[str]:
    """Generate where a Python may be: the running one, on the PATH, or one of pyenv's."""
    yield sys.executable
    yield f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python")):
        yield str(path)


def find_python(version: str) -> str | None:
    """Return a command that runs this version of Python, or None."""
    probe = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    for command in candidates(version):
        try:
            done = subprocess.run(
                [command, "-c", probe], capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        if done.stdout.strip() == version:
            return command
    return None


def prepare(pair: Pair, python: str) -> Path:
    """Return the interpreter of the pair's environment, made or brought up to date."""
    folder = FOLDER / str(pair)
    own, wanted, installed = folder / "bin" / "python", folder / "wanted", folder / "installed"
    text = pair.requirements()
    if installed.exists() and installed.read_text() == text:
        return own
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    wanted.write_text(text)
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted)
    subprocess.run([own, *install], check=True)
    wanted.rename(installed)
    return own


def test(python: Path) -> bool:
    """Run the tests of a pair, and tell whether they passed."""
    options = ("-q", "-m", "not soak and not extra", "--dist", "loadfile")
    workers = ("-n", os.environ.get("MATRIX_WORKERS", "4"))
    tests = [python, "-m", "pytest", *options, *workers, *TESTS]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode == 0


def run(pair: Pair) -> str:
    """Return what became of a pair: "passed", "FAILED" or why it was skipped."""
    python = find_python(pair.python)
    if python is None:
        return f"skipped: there is no Python {pair.python} with ensurepip on this machine"
    print(f"== Python {pair.python}, Django {pair.django}", flush=True)
    try:
        return "passed" if test(prepare(pair, python)) else "FAILED"
    except subprocess.CalledProcessError as error:
        return f"FAILED: {error}"


def main() -> None:
    """Run the pairs that the command line names, and say at the end what became of each."""
    results = {}
    for pair in chosen(sys.argv[1:]):
        started = time.monotonic()
        results[pair] = f"{run(pair)} ({time.monotonic() - started:.0f} s)"
    for pair, result in results.items():
        print(f"Python {pair.python}, Django {pair.django}: {result}")
    bad = ("FAILED", "skipped") if os.environ.get("CI") else ("FAILED",)
    sys.exit(any(result.startswith(bad) for result in results.values()))


if __name__ == "__main__":
    main()
