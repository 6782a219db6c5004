"""
Which variants of tests `make test` leaves to `make test-extra`, so that it takes minutes.

Each has a sibling in `make test` that differs in one thing: another server, database, layer or
theme. Random runs of whole clusters are left to it as well, and so are crowds that move under load:
on a busy machine some clients rightly stay where they are.
"""

from __future__ import annotations

# Where the tests are, and what is in the name of the variants.
EXTRA = (
    ("tests/benchmarks/test_load.py", "daphne"),
    ("tests/benchmarks/test_load.py", "pubsub"),
    ("tests/clients/", "wsproto"),
    ("tests/clients/", "-indirect"),
    ("tests/clients/", "granian"),
    ("tests/clients/", "hypercorn"),
    ("tests/benchmarks/test_storm.py", ""),
    ("tests/clients/bad_input/test_busy_ghosts.py", "uvloop"),
    ("tests/clients/bad_input/test_costs.py", "exponent-daphne"),
    ("tests/clients/bad_input/test_costs.py", "floats-daphne"),
    ("tests/clients/bad_input/test_costs.py", "lists-daphne"),
    ("tests/clients/bad_input/test_costs.py", "objects-daphne"),
    ("tests/clients/bad_input/test_costs.py", "uvloop"),
    ("tests/clients/bad_input/test_floods_past_frames.py", "uvloop"),
    ("tests/clients/bad_input/test_log_floods.py", "uvloop"),
    ("tests/clients/bad_input/test_origins.py", "uvloop"),
    ("tests/clients/bad_input/test_payloads.py", "uvloop"),
    ("tests/clients/browser/test_admin_themes.py", "grappelli"),
    ("tests/clients/browser/test_admin_themes.py", "jazzmin"),
    ("tests/clients/browser/test_admin_themes.py", "unfold"),
    ("tests/clients/browser/test_admin_themes.py", "-dark"),
    ("tests/clients/browser/test_recovery.py", "daphne-transports0"),
    ("tests/clients/browser/test_recovery.py", "daphne-transports1"),
    ("tests/clients/test_authority.py", "daphne"),
    ("tests/clients/test_concurrency.py", "uvloop"),
    ("tests/clients/test_leaks.py", "daphne"),
    ("tests/clients/test_outages.py", "mariadb"),
    ("tests/clients/test_outages.py", "uvicorn-postgresql frozen"),
    ("tests/clients/test_plain_recovery.py", "daphne"),
    ("tests/cluster/admin/test_live_page.py", "staff"),
    ("tests/cluster/admin/test_live_page.py", "uvicorn"),
    (
        "tests/cluster/admin/test_operations.py::test_everything_that_can_be_done_with_a_room",
        "wsgi",
    ),
    ("tests/cluster/admin/test_operations.py::test_lists", "wsgi"),
    ("tests/cluster/outside/", "pubsub"),
    ("tests/cluster/test_authority_changes.py", "core-sqlite"),
    ("tests/cluster/test_channels.py", "core-1-"),
    ("tests/cluster/test_clocks.py", "core-daphne"),
    ("tests/cluster/test_clocks.py", "pubsub"),
    ("tests/cluster/test_cut_off.py", "core-daphne"),
    ("tests/cluster/test_cut_off.py", "pubsub-uvicorn"),
    ("tests/cluster/test_deploys.py", "pubsub"),
    ("tests/cluster/test_faults.py", "pubsub"),
    ("tests/cluster/test_moves.py", "core"),
    ("tests/cluster/test_round_robin.py", "pubsub"),
    ("tests/cluster/test_takeovers.py", ""),
    ("tests/cluster/test_upgrades.py", "core"),
    ("tests/cluster/test_users.py", "core"),
    ("tests/packaging/", "wsproto"),
    ("tests/packaging/test_deployment.py", "granian"),
    ("tests/packaging/test_deployment.py", "hypercorn"),
    ("tests/packaging/test_deployment.py", "websocket"),
    ("tests/packaging/test_pages.py", "runserver-page"),
    ("tests/packaging/test_pages.py", "runserver-strict"),
    ("tests/packaging/test_pages.py", "uvicorn"),
    ("tests/presence/test_databases.py", "mariadb"),
    ("tests/presence/test_databases.py", "admin"),
    ("tests/presence/test_databases.py", "sessions"),
    ("tests/presence/test_replicas.py", "mariadb"),
    ("tests/presence/test_replicas.py", "sqlite"),
    ("tests/presence/test_servers.py", "mariadb"),
    ("tests/presence/test_servers.py", "postgresql-uvicorn"),
    ("tests/presence/test_servers.py", "uvicorn-new_postgresql"),
    ("tests/recovery/test_bounds.py", "daphne"),
    ("tests/recovery/test_chaos.py", ""),
    ("tests/recovery/test_deploys.py", "core"),
    ("tests/recovery/test_deploys.py", "kinds1"),
    ("tests/recovery/test_drops.py", "daphne"),
    ("tests/recovery/test_layer_outages.py", "core"),
    ("tests/recovery/test_layer_outages.py", "full"),
    ("tests/recovery/test_layer_outages.py", "paused"),
    ("tests/recovery/test_layer_outages.py", "within-hanging"),
    ("tests/recovery/test_overflows.py", "elsewhere-daphne"),
    ("tests/recovery/test_overflows.py", "here-uvicorn"),
    ("tests/recovery/test_presence.py", "core"),
    ("tests/recovery/test_presence.py::test_away_for_longer_than_it_counts", "daphne"),
    ("tests/recovery/test_processes.py", "core"),
    ("tests/recovery/test_returns.py", "daphne"),
    ("tests/recovery/test_secrets.py", "daphne"),
)


def is_extra(nodeid: str) -> bool:
    """Tell whether a test is a variant that `make test-extra` runs."""
    path, _, variant = nodeid.partition("[")
    return any(path.startswith(where) and name in variant for where, name in EXTRA)
