"""What one thing costs, as it was measured: from the results of the benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LAYERS = ("core", "pubsub")
FEW, MANY = 1, 4  # how many processes receive in the two measurements of a layer

# Workloads and cases whose CPU is that of a delivery, an event and a connect.
MEASURED = (
    ("broadcast", "uvicorn"),
    ("echo", "uvicorn"),
    ("connects-session", "uvicorn with presence"),
)

# All workloads from which costs are read.
WORKLOADS = (*(workload for workload, _ in MEASURED), "idle", "layers")

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class LayerCosts:
    """
    CPU of one message on a channel layer, in microseconds: of its publisher, of each receiver, and
    of Valkey, where it is `valkey` and `valkey_each` more for each receiver.
    """

    publish: float
    receive: float
    valkey: float
    valkey_each: float

    def in_valkey(self, receivers: float) -> float:
        """Return Valkey's CPU for a message to so many receivers, in microseconds."""
        return self.valkey + self.valkey_each * receivers


@dataclass(frozen=True)
class Costs:
    """
    CPU of a server process in microseconds: to `deliver` a message to one client, to take an
    `event` and acknowledge it, and to let a client `connect` and leave, with session and presence.
    `connection` is the memory of a client in bytes. `waited` is the part of the time for which
    others had the cores while that was measured.
    """

    deliver: float
    event: float
    connect: float
    connection: float
    layers: Mapping[str, LayerCosts]
    waited: float


def read(figures: Figures) -> Costs:
    """
    Return the costs on uvicorn, from the workloads of docs/benchmarks.json.

    Raises KeyError, which says what to measure, where a figure is missing.
    """

    def figure(workload: str, case: str, name: str) -> float:
        try:
            return figures[workload][case][name]
        except KeyError:
            hint = f'measure it: make bench ARGS="--only {workload}"'
            raise KeyError(f"no {name} of {case!r} in {workload!r}; {hint}") from None

    return Costs(
        deliver=figure(*MEASURED[0], "cpu_us"),
        event=figure(*MEASURED[1], "cpu_us"),
        connect=figure(*MEASURED[2], "cpu_us"),
        connection=figure("idle", "uvicorn", "kib") * 1024,
        layers={layer: _layer(layer, figure) for layer in LAYERS},
        waited=max(figures[name][case].get("waited", 0.0) for name, case in MEASURED),
    )


def _layer(layer: str, figure: Any) -> LayerCosts:
    few, many = (f"valkey {layer} layer, {count} to receive" for count in (FEW, MANY))
    first = figure("layers", few, "cpu_us")
    each = max(0.0, (figure("layers", many, "cpu_us") - first) / (MANY - FEW))
    return LayerCosts(
        publish=figure("layers", many, "publish_us"),
        receive=figure("layers", many, "receive_us"),
        valkey=max(0.0, first - each * FEW),
        valkey_each=each,
    )
