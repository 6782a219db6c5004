"""Compute the tables of docs/scaling.md: `python -m benchmarks.scaling --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .. import results
from ..servers import ROOT
from . import tables

KEPT = ROOT / "docs" / "benchmarks.json"
PAGE = ROOT / "docs" / "scaling.md"


def main() -> int:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--figures", type=Path, default=KEPT, help="what make bench has written")
    parser.add_argument("--results", action="store_true", help="take the last results instead")
    parser.add_argument("--write", action="store_true", help="write them into docs/scaling.md")
    options = parser.parse_args()
    try:
        summary = results.load() if options.results else results.read_kept(options.figures)
        if options.write:
            tables.write_page(summary, PAGE)
        else:
            print(*tables.tables(summary), sep="\n")
    except (OSError, KeyError) as error:
        sys.exit(str(error.args[0] if isinstance(error, KeyError) else error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
