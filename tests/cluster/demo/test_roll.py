"""`make roll`: the processes of the cluster are restarted one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.chromium import running_chromium
from tests.cluster.demo.conftest import DEADLINE, Runner, roll
from tests.ports import HOST, free_port
from tests.processes import ROOT

pytestmark = pytest.mark.timeout(300)

PATIENCE = 1000 * DEADLINE


def test_who_is_not_there_is_not_rolled() -> None:
    done = roll(free_port())
    assert done.returncode == 1
    assert "make cluster" in done.stderr


def test_a_server_that_dies_ends_a_restart_too(runner: Runner) -> None:
    servers = {
        connection.laddr.port: process
        for process in runner.family
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    first, *_, last = (servers[port] for port in runner.ports)
    first.suspend()  # it cannot end yet
    with subprocess.Popen(
        [sys.executable, "-m", "project.roll", str(runner.ports[0])],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as rolling:
        try:
            runner.wait_log(rf"^{runner.ports[0]} \| is told to stop")
            last.kill()
        finally:
            first.resume()
        _, complaint = rolling.communicate(timeout=DEADLINE)
    assert rolling.returncode == 1
    assert "see its terminal" in complaint
    assert runner.wait_end() == 1
    runner.wait_log(rf"^Stopped: the server on port {runner.ports[-1]} ended with code -9$")


@pytest.fixture
def pages(runner: Runner) -> Iterator[list[Page]]:
    """The demo in three tabs, one on each server."""
    with running_chromium() as browser:
        pages = [browser.new_page(reduced_motion="reduce") for _ in runner.ports]
        for page, port in zip(pages, runner.ports, strict=True):
            page.goto(f"http://{HOST}:{port}")
        for page in pages:
            expect(page.get_by_test_id("state")).to_have_text("connected", timeout=PATIENCE)
        yield pages


def test_pages_miss_nothing_meanwhile(runner: Runner, pages: list[Page]) -> None:
    """Two of them count all the time, and each gets every number in order and once."""
    for page in pages:
        expect(page.get_by_test_id("recovery")).to_have_text("new")
    sids = [page.get_by_test_id("sid").inner_text() for page in pages]
    counting = (pages[0], pages[2])
    for page in counting:
        page.get_by_test_id("tell-numbers").click()
    for page in pages:
        expect(page.get_by_test_id("numbers").locator("li")).to_have_count(2, timeout=PATIENCE)

    done = roll(runner.ports[0])
    assert done.returncode == 0, done.stdout + done.stderr + runner.log
    for page in pages:
        expect(page.get_by_test_id("state")).to_have_text("connected", timeout=PATIENCE)
    for page in counting:
        page.get_by_test_id("tell-numbers").click()
    for counter in counting:
        series = counter.evaluate("MY_SERIES")
        last = counter.evaluate("async () => { await counted; return lastTold; }")
        for page in pages:
            who = "This page" if page is counter else f"Page {series}"
            line = page.get_by_test_id("numbers").locator("li", has_text=who)
            expect(line).to_have_text(f"{who}1 to {last}none missing", timeout=PATIENCE)
    for page, sid in zip(pages, sids, strict=True):
        expect(page.get_by_test_id("recovery")).to_have_text("recovered")
        assert page.get_by_test_id("sid").inner_text() == sid
