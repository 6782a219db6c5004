"""Run the benchmarks: `python -m benchmarks.run --help`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from . import chart, machine, report, results
from .measure import Result, measure_quietly, quiet
from .scaling import tables as scaling
from .servers import KINDS, LOAD_CORE, ROOT, SERVER_CORE, pin, raise_file_limit
from .workloads import WORKLOADS, Workload

DOCS = ROOT / "docs"
KEPT = DOCS / "benchmarks.json"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--servers", nargs="+", choices=KINDS, metavar="SERVER")
    parser.add_argument("--rounds", type=int, help="of each, interleaved (3, or 1)")
    parser.add_argument("--seconds", type=float, help="measured in each round (3, or 60)")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before that (1)")
    parser.add_argument("--attempts", type=int, default=3, help="at a quiet measurement (3)")
    parser.add_argument("--lock", type=Path, help="hold this file's lock for each measurement")
    parser.add_argument("--write", action="store_true", help="write the page, chart and JSON")
    parser.add_argument("--report", action="store_true", help="measure nothing, only report")
    return parser.parse_args()


def _note(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _run(workload: Workload, options: argparse.Namespace) -> dict[str, list[Result]]:
    """Return the rounds of each case: the first of all, the second of all, and so on."""
    cases = [case for case in workload.cases if case.server in (options.servers or KINDS)]
    rounds: dict[str, list[Result]] = {}
    seconds = options.seconds or workload.seconds
    for number in range(options.rounds or workload.rounds):
        for case in cases:
            with quiet(options.lock):
                result = measure_quietly(workload, case, seconds, options.warm_up, options.attempts)
            rounds.setdefault(case.name, []).append(result)
            value = result.get("per_second", result.get("bytes_each"))
            waited = f", {result['waited']:.0%} waited" if result.get("waited", 0) > 0.05 else ""
            _note(f"{workload.name} round {number + 1}: {case.name}: {value:,.0f}{waited}")
    return rounds


def main() -> int:
    """Measure what was asked for, and report on it."""
    options = _parse()
    if not options.report:
        if SERVER_CORE == LOAD_CORE:
            sys.exit("The benchmarks need two cores: one for the server, one for its clients.")
        raise_file_limit()
        pin(LOAD_CORE)
        # Who ends the driver ends its servers too.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        about = machine.describe()
        for name in options.only or WORKLOADS:
            workload = WORKLOADS[name]
            if rounds := _run(workload, options):
                results.save(workload, about, rounds)
                figures = {case: results.summarize(each) for case, each in rounds.items()}
                print(f"\n{workload.title}\n", *report.table(workload, figures), sep="\n")
                sys.stdout.flush()
    summary = results.load()
    if options.write:
        summary = results.merge(results.read_kept(KEPT), summary)
        results.write_kept(summary, KEPT)
        report.write_page(summary, DOCS / "benchmarks.md")
        chart.write(summary, DOCS / "images" / "benchmarks.svg")
        try:
            scaling.write_page(summary, DOCS / "scaling.md")
        except KeyError as missing:
            _note(f"docs/scaling.md stays as it is: {missing.args[0]}")
    elif options.report:
        print("\n".join(report.tables(summary)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
