"""A process of the site without clients: it emits what is asked for on its standard input."""

from __future__ import annotations

import json
import sys

import django


def main() -> None:
    """Emit for each line, and answer each with its number once that is done."""
    django.setup()
    import realtime

    for line in sys.stdin:
        ask = json.loads(line)
        target = realtime.of(ask["namespace"]).to(*ask["rooms"]).excluding(*ask["excluded"])
        if ask["volatile"]:
            target = target.volatile()
        target.emit("n", ask["number"], "from outside")
        print(ask["number"], flush=True)


if __name__ == "__main__":
    main()
