"""Where a user is connected, on the pages that the site's own admins have of users."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.urls import path, set_urlconf
from django.utils import timezone
from pytest_django import Settings

from realtime.admin import ServerAdmin, SocketAdmin, users
from realtime.admin.counting import MANY
from realtime.models import SeenUser, Server, Socket

from .conftest import LogIn, make_server, make_socket, new_socket

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[User]
else:
    ModelAdmin = admin.ModelAdmin

URL = "/admin/realtime/"
HEADING = ">Connections</h2>"


def make_user(name: str = "ann", **fields: Any) -> Any:
    return get_user_model().objects.create(username=name, **fields)


def page(browser: Client, user: Any) -> str:
    """Return a user's page."""
    response = browser.get(f"/admin/auth/user/{user.pk}/change/")
    assert response.status_code == 200
    return str(response.content.decode())


def table(text: str) -> list[list[str]]:
    """Return the texts in the table of sockets."""
    rows = re.findall(r"<tr>(.*?)</tr>", text.partition("realtime-connections")[2], re.DOTALL)
    cells = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [[re.sub("<.*?>", "", cell) for cell in row] for row in cells if row]


def test_where_a_user_is_connected(browser: Client) -> None:
    ann, bob = make_user("ann"), make_user("bob")
    here, dead = make_server(), make_server(seen=16)
    make_socket(here, user=bob)
    make_socket(dead, user=ann)
    old = make_socket(here, namespace="/orders/7", user=ann, address="10.1.2.3", age=90)
    since = timezone.now() - timedelta(seconds=5)
    new = make_socket(here, namespace="/<b>", user=ann, transport="polling", away_since=since)
    text = page(browser, ann)
    assert HEADING in text
    shown = table(text)
    assert [row[0] for row in shown] == ["/&lt;b&gt;", "/orders/7"]
    assert shown[0][1].startswith("HTTP long-polling away for ")
    assert shown[1][1:] == ["WebSocket", "10.1.2.3", "1\xa0minute ago"]
    for socket in (old, new):
        assert f'href="{URL}socket/{quote(socket.sid)}/change/"' in text
    assert f'<a href="{URL}socket/?user={ann.pk}">2 sockets</a>' in text
    assert f"{URL}socket/of-user/{ann.pk}/as/auth.user/disconnect/" in text
    assert "The newest are shown." not in text
    assert 'href="/static/realtime/admin.css"' in text


def test_who_is_not_connected(browser: Client) -> None:
    ann = make_user()
    text = page(browser, ann)
    assert "Not connected." in text
    assert "Last seen" not in text
    assert "/disconnect/" not in text
    SeenUser.objects.create(user=ann, seen_at=timezone.now() - timedelta(hours=3))
    text = page(browser, ann)
    assert re.search(r"Not connected\. Last seen <time .*>3\xa0hours ago</time>\.", text)


def test_a_user_with_very_many_sockets(browser: Client) -> None:
    ann, server = make_user(), make_server()
    page(browser, ann)
    with CaptureQueriesContext(connection) as queries:
        page(browser, ann)
    before = len(queries)
    Socket.objects.bulk_create(new_socket(server, user=ann) for _ in range(MANY + 1))
    with CaptureQueriesContext(connection) as queries:
        text = page(browser, ann)
    assert len(table(text)) == users.MAX_SHOWN
    assert "10,000+ sockets</a>" in text
    assert "The newest are shown." in text
    assert len(queries) <= before + 1  # for the sockets and their number, instead of "last seen"
    assert not any("prefetch" in query["sql"] for query in queries)


def test_who_may_see_it(log_in: LogIn) -> None:
    ann = make_user()
    make_socket(make_server(), user=ann)
    for number, (codenames, seen, disconnects) in enumerate(
        [
            (("view_user",), False, False),
            (("view_user", "disconnect_socket"), False, False),
            (("view_user", "view_socket"), True, False),
            (("change_user", "view_socket"), True, False),
            (("view_user", "view_socket", "disconnect_socket"), True, True),
            (("change_user", "view_socket", "disconnect_socket"), True, True),
        ]
    ):
        text = page(log_in(*codenames, name=f"staff{number}"), ann)
        assert (HEADING in text, "/disconnect/" in text) == (seen, disconnects), codenames
        assert ("127.0.0.1" in text) == seen


def test_the_forms_are_as_they_were(browser: Client) -> None:
    ann = make_user()
    assert HEADING not in browser.get("/admin/auth/user/add/").content.decode()
    make_socket(make_server(), user=ann)
    at = timezone.localtime(ann.date_joined)
    data = {"date_joined_0": f"{at:%Y-%m-%d}", "date_joined_1": f"{at:%H:%M:%S}"}
    url = f"/admin/auth/user/{ann.pk}/change/"
    response = browser.post(url, {"username": "anna", **data})
    assert response.status_code == 302
    ann.refresh_from_db()
    assert ann.username == "anna"
    response = browser.post(url, {"username": "", **data})
    assert HEADING in response.content.decode()
    names = {"username", "password"}
    data = {"username": "bob", "password1": "correct horse", "password2": "correct horse"}
    response = browser.post("/admin/auth/user/add/", {**data, "usable_password": "true"})
    assert response.status_code == 302, names


def test_without_presence(browser: Client, settings: Settings) -> None:
    ann = make_user()
    settings.REALTIME = {**settings.REALTIME, "PRESENCE": False}
    assert HEADING not in page(browser, ann)


def test_the_list_of_a_users_sockets(browser: Client) -> None:
    ann, bob = make_user("ann"), make_user("bob")
    server = make_server()
    hers, his = make_socket(server, user=ann), make_socket(server, user=bob)

    def sockets(query: str) -> tuple[set[Any], str]:
        response = browser.get(f"{URL}socket/{query}")
        assert response.status_code == 200
        return set(response.context["cl"].result_list), response.content.decode()

    found, text = sockets("")
    assert found == {hers, his}
    assert 'data-filter-title="user"' not in text
    found, text = sockets(f"?user={ann.pk}")
    assert found == {hers}
    assert 'data-filter-title="user"' in text
    assert re.search(r'class="selected">\s*<a href="[^"]*">ann</a>', text)
    for query in ("?user=4711", "?user=x", "?user=", "?user=%00", f"?user={10**30}"):
        assert sockets(query)[0] == set(), query


# Sites with admins of their own


class Plain(ModelAdmin):
    """Without fieldsets, and with all read-only."""

    fields = ("username", "email")

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Return all of them, as a tuple."""
        return ("username", "email")


class Grouped(UserAdmin):
    """With fieldsets of its own, and rows that depend on who asks."""

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """Return them as a tuple."""
        return ((None, {"fields": ("username",)}),)

    def get_queryset(self, request: Any) -> Any:
        """Return some users."""
        return super().get_queryset(request).exclude(username="hidden")


class Placed(ModelAdmin):
    """With all that is read-only in a place of its own."""

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        """Return them."""
        return [("Facts", {"fields": self.get_readonly_fields(request, obj)})]


Admins = dict[type[Any], type[Any]]


def make_site(admins: Admins) -> admin.AdminSite:
    """Return a site whose URLs have been made twice, as a URLconf may be loaded again."""
    site = admin.AdminSite(name="staff")
    for model, its_admin in admins.items():
        site.register(model, its_admin)
    for _ in range(2):
        assert site.urls
    return site


def show(site: admin.AdminSite, user: Any, model: type[Any] = User) -> str:
    """Return a user's page in a site."""
    request = RequestFactory().get("/")
    request.user, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
    set_urlconf((path("staff/", site.urls),))
    try:
        response: Any = site.get_model_admin(model).change_view(request, str(user.pk))
        return str(response.render().content.decode())
    finally:
        set_urlconf(None)


OURS: Admins = {Server: ServerAdmin, Socket: SocketAdmin}


@pytest.mark.parametrize("user_admin", [Plain, Grouped, Placed, UserAdmin, admin.ModelAdmin])
@pytest.mark.parametrize("first", [True, False])
def test_whatever_admin_a_site_has(user_admin: type[Any], first: bool) -> None:
    ann = make_user()
    make_socket(make_server(), user=ann, address="10.1.2.3")
    theirs: Admins = {User: user_admin}
    site = make_site({**theirs, **OURS} if first else {**OURS, **theirs})
    found = site.get_model_admin(User)
    assert isinstance(found, user_admin)
    assert type(found).__mro__[1:] == (users.ShowsConnections, *user_admin.__mro__)
    assert (type(found).__name__, type(found).__module__) == (
        user_admin.__name__,
        user_admin.__module__,
    )
    assert not found.check()
    assert show(site, ann).count("10.1.2.3") == 1
    assert not issubclass(user_admin, users.ShowsConnections)


def test_a_site_without_our_lists_stays_as_it_is() -> None:
    ann = make_user()
    make_socket(make_server(), user=ann)
    site = make_site({User: UserAdmin})
    assert type(site.get_model_admin(User)) is UserAdmin
    assert HEADING not in show(site, ann)
    site = make_site({User: UserAdmin, **OURS})
    site.unregister(Socket)
    assert HEADING not in show(site, ann)


@isolate_apps("django.contrib.auth")
def test_a_proxy_of_the_model() -> None:
    class Customer(User):
        class Meta:
            proxy = True
            app_label = "auth"

    ann = make_user()
    make_socket(make_server(), user=ann, address="10.1.2.3")
    site = make_site({Customer: Plain, **OURS})
    text = show(site, ann, Customer)
    assert "10.1.2.3" in text
    assert f"of-user/{ann.pk}/as/auth.customer/disconnect/" in text
