"""Management commands of a site whose receivers send, where nobody can be reached."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.valkey import Valkey

from .conftest import NewValkey, environment, of_layer

SETTINGS = """
from tests.site.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "shop.apps.Shop"]
"""

# The receiver of the guide, and one that does not wait for the commit.
APPS = """
from django.apps import AppConfig

import realtime


class Shop(AppConfig):
    name = "shop"

    def ready(self):
        from django.contrib.auth.models import Group, User
        from django.db.models.signals import post_save

        post_save.connect(tell, sender=User)
        post_save.connect(tell, sender=Group)


def tell(instance, **kwargs):
    sockets = realtime.of("/cluster").to("watchers")
    sockets.on_commit().emit("changed", str(instance))
    sockets.emit("changed", str(instance))
    sockets.join("seen")
"""

MIGRATION = """
from django.db import migrations

import realtime


def create(apps, schema_editor):
    apps.get_model("auth", "Group").objects.create(name="of a migration")
    realtime.of("/cluster").on_commit().emit("migrated")
    realtime.of("/cluster").emit("migrating")


class Migration(migrations.Migration):
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
"""

# What "loaddata" saves: each is told of three times.
GROUPS = 300

COUNT = "from django.contrib.auth.models import Group, User; print(Group.objects.count())"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with an app that sends, and manage.py."""
    (tmp_path / "sending_settings.py").write_text(SETTINGS)
    (tmp_path / "manage.py").write_text((ROOT / "manage.py").read_text())
    shop = tmp_path / "shop"
    (shop / "migrations").mkdir(parents=True)
    (shop / "__init__.py").touch()
    (shop / "migrations" / "__init__.py").touch()
    (shop / "apps.py").write_text(APPS)
    (shop / "migrations" / "0001_initial.py").write_text(MIGRATION)
    groups = [{"model": "auth.group", "fields": {"name": f"group {n}"}} for n in range(GROUPS)]
    (tmp_path / "groups.json").write_text(json.dumps(groups))
    return tmp_path


def manage(site: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    env = {
        **env,
        "DJANGO_SETTINGS_MODULE": "sending_settings",
        "PYTHONPATH": f"{site}:{ROOT}",
        "DJANGO_SUPERUSER_PASSWORD": "secret",
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=env,
        cwd=site,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def worked(done: subprocess.CompletedProcess[str]) -> int:
    """See that a command worked and said what was not sent; return how much that was."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lost = [int(number) for number in re.findall(r"unsent .* lost=(\d+)", done.stderr)]
    assert "UNREACHABLE" in done.stderr
    return sum(lost)


SUPERUSER = ("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")


def test_no_server_and_no_redis(site: Path) -> None:
    env = environment({}, f"sqlite:///{site}/db.sqlite3")
    assert worked(manage(site, env, "migrate", "--verbosity", "0")) == 2
    assert worked(manage(site, env, *SUPERUSER)) == 3
    assert worked(manage(site, env, "loaddata", "groups.json")) == 3 * GROUPS
    started = time.monotonic()
    done = manage(site, env, "loaddata", "groups.json")
    assert done.stderr.count("unsent ") <= time.monotonic() - started + 2
    counted = manage(site, env, "shell", "--verbosity", "0", "-c", COUNT)
    assert counted.stdout.split() == [str(GROUPS + 1)]
    # What somebody types is an error, and so is what a script does.
    create = "from django.contrib.auth.models import Group; Group.objects.create(name='typed')"
    for command in (
        ("shell", "-c", create),
        ("shell", "-c", "import realtime; realtime.emit('x')"),
    ):
        done = manage(site, env, *command)
        assert done.returncode == 1
        assert "NotRunning: This process serves no Realtime clients" in done.stderr
        assert "UNREACHABLE" in done.stderr


def unreached(valkey: Valkey, how: str) -> None:
    if how == "stopped":
        valkey.stop()
    else:
        valkey.pause()


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_a_layer_that_is_down(site: Path, new_valkey: NewValkey, layer: str, how: str) -> None:
    valkey = new_valkey()
    env = {**of_layer(valkey, layer), "DATABASE_URL": f"sqlite:///{site}/db.sqlite3"}
    assert manage(site, env, "migrate", "--verbosity", "0").returncode == 0
    unreached(valkey, how)
    started = time.monotonic()
    assert worked(manage(site, env, "loaddata", "groups.json")) == 3 * GROUPS
    assert time.monotonic() - started < 60  # and not 5 seconds for each
    if how == "silent":
        valkey.resume()
