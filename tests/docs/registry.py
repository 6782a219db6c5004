"""What is executed by tests of its own."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import Block
from tests.processes import ROOT

# Pages that make sites of their own: the test that follows each one. It writes the blocks that name
# a file into that file, and runs the shell commands.
INSTALL, DEPLOYMENT = "tests/packaging/test_install.py", "tests/packaging/test_deployment.py"
BESIDE = "tests/packaging/test_beside_channels.py"
MIDDLEWARE, TENANTS = "tests/packaging/test_middleware.py", "tests/packaging/test_tenants.py"
PAGES, TOKENS = "tests/packaging/test_pages.py", "tests/packaging/test_tokens.py"
EXECUTED = {
    "docs/tutorial/first-live-page.md": f"{INSTALL}::test_tutorial_in_two_tabs",
    "docs/how-to/add-to-an-existing-site.md": f"{INSTALL}::test_client_connects",
    "docs/how-to/deploy.md": f"{DEPLOYMENT}::test_one_client_on_each_process",
    "docs/how-to/beside-channels.md": f"{BESIDE}::test_both_reach_each_other",
    "docs/how-to/put-middleware-around.md": f"{MIDDLEWARE}::test_a_user_by_token",
    "docs/how-to/let-clients-come-in-with-a-token.md": f"{TOKENS}::test_clients_that_renew",
    "docs/how-to/serve-tenants.md": f"{TENANTS}::test_each_tenant_has_its_users_orders_and_rooms",
    "docs/how-to/serve-under-a-sub-path.md": f"{PAGES}::test_pages_below_a_path",
    "docs/how-to/http-on-wsgi.md": f"{DEPLOYMENT}::test_pages_on_wsgi",
}

# Blocks without a file's name that such a test executes, by their page and how they begin.
EXECUTED_BLOCKS = {
    ("docs/how-to/add-to-an-existing-site.md", "STATIC_ROOT"): f"{PAGES}::test_whitenoise",
    ("docs/how-to/serve-under-a-sub-path.md", "{% load"): f"{PAGES}::test_pages_below_a_path",
}

# Blocks of plain text, which no program reads: pictures, and what tests of their own compare.
TEXTS = {
    "docs/explanation/how-it-works.md": "a picture",
    "docs/reference/commands.md": "tests/cluster/test_deploys.py::test_drained_by_the_command",
    "docs/how-to/serve-other-origins.md": (
        "tests/unit/transports/test_refusals.py::test_the_line_that_the_documentation_shows"
    ),
    "docs/reference/errors.md": "tests/test_docs.py::test_the_tree_of_errors",
    "docs/reference/logging.md": "tests/test_docs.py::test_the_example_of_log_lines",
}


def is_executed_elsewhere(block: Block) -> bool:
    """Tell whether the test of a block's page executes it."""
    name = name_of(block.page)
    return (name in EXECUTED and block.path is not None) or any(
        name == page and block.code.startswith(start) for page, start in EXECUTED_BLOCKS
    )


def name_of(page: Path) -> str:
    """Return a page's name in the tables above."""
    return str(page.relative_to(ROOT))
