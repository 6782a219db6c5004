"""The services that other tests of this folder stand on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import httpx
import pytest
import redis
import socketio

from tests.conftest import ClusterFactory, NginxFactory, ServerFactory
from tests.ports import free_port
from tests.processes import ROOT
from tests.valkey import Valkey

KINDS = ("daphne", "uvicorn")


def test_ports_are_of_one_process_and_one_service() -> None:
    ports = [free_port() for _ in range(50)]
    code = "from tests.ports import free_port\nfor _ in range(50): print(free_port())"
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len({*ports, *map(int, other.stdout.split())}) == 100


def test_a_server_is_not_taken_for_the_one_that_has_its_port(new_server: ServerFactory) -> None:
    server = new_server("uvicorn")
    with pytest.raises(RuntimeError, match="address already in use"):
        new_server("uvicorn", port=server.port)


def test_valkey_forgets_everything_on_a_restart(new_valkey: Callable[..., Valkey]) -> None:
    valkey = new_valkey()
    valkey.client.set("key", "value")
    valkey.stop()
    assert not valkey.running
    with pytest.raises(redis.ConnectionError):
        valkey.client.get("key")
    valkey.start()
    assert valkey.client.get("key") is None


def test_valkey_hangs_while_it_is_paused(new_valkey: Callable[..., Valkey]) -> None:
    valkey = new_valkey(maxmemory="64mb")
    assert valkey.client.config_get("maxmemory") == {"maxmemory": str(64 * 1024 * 1024)}
    answers: list[object] = []
    other = redis.Redis.from_url(valkey.url)
    valkey.pause()
    asking = threading.Thread(target=lambda: answers.append(other.ping()))
    asking.start()
    asking.join(0.3)
    assert asking.is_alive()
    valkey.resume()
    asking.join(20)
    assert answers == [True]
    assert valkey.wait_connections(lambda count: count == 1) == 1
    other.close()
    assert valkey.wait_connections(lambda count: count == 0) == 0


def test_valkey_stops_while_it_is_paused(new_valkey: Callable[..., Valkey]) -> None:
    valkey = new_valkey()
    valkey.client.set("key", "value")
    valkey.pause()
    valkey.restart()
    assert valkey.client.get("key") is None


def test_nginx_leads_to_one_server_after_the_other(
    new_cluster: ClusterFactory, new_nginx: NginxFactory, layer: str
) -> None:
    cluster = new_cluster(KINDS, layer=layer)
    nginx = new_nginx(*cluster)
    servers = set()
    for _ in cluster:
        with socketio.SimpleClient() as client:
            client.connect(nginx.url, transports=["websocket"], wait_timeout=20)
            servers.add(client.sid[:6])
    assert len(servers) == 2
    assert "no live upstreams" not in nginx.log


def test_servers_share_one_database_and_its_sessions(new_cluster: ClusterFactory) -> None:
    cluster = new_cluster(KINDS)
    with httpx.Client(base_url=cluster[0].url, trust_env=False) as one:
        one.get("/admin/login/").raise_for_status()
        token = one.cookies["csrftoken"]
    answer = cluster[1].post(
        "/admin/login/",
        data={"username": "nobody", "password": "-", "csrfmiddlewaretoken": token},
        headers={"Cookie": f"csrftoken={token}"},
    )
    assert answer.status_code == 200  # and no 403: the other server's token fits
    assert "Please enter the correct" in answer.text  # and no 500: the tables are there
