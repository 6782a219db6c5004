"""Who may do what."""

from __future__ import annotations

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import AsyncClient

from .conftest import (
    NEWS,
    OPERATIONS,
    URL,
    Crowd,
    LogIn,
    choose,
    do,
    logged,
    room_key,
    said,
)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("model", ["socket", "room"])
async def test_each_needs_its_own_permission(
    log_in: LogIn, crowd: Crowd, operation: str, model: str
) -> None:
    pk = crowd["ann"].sid if model == "socket" else room_key("a")
    page = f"{URL}{model}/{quote(pk)}/"
    others = [codename for codename in OPERATIONS if codename != operation]
    without = await log_in("view_socket", "view_room", *others, name="without")
    text = (await without.get(f"{URL}{model}/")).content.decode()
    assert f'<option value="{operation}">' not in text
    assert f'<option value="{others[0]}">' in text
    assert f"do/{operation}/" not in (await without.get(f"{page}change/")).content.decode()
    data = {**NEWS, "do-room": "b"}
    response = await do(without, operation, pk, model=model, **data)
    assert said(response) == [("warning", "No action selected.")]
    assert (await without.get(f"{page}do/{operation}/")).status_code == 403
    assert (await without.post(f"{page}do/{operation}/", {"do": "1", **data})).status_code == 403
    assert await logged() == []
    assert not crowd["ann"].pending()
    assert await crowd["ann"].call("join") == ["a", "b"]

    allowed = await log_in(f"view_{model}", operation, name="allowed")
    response = await do(allowed, operation, pk, model=model, **data)
    assert [level for level, _ in said(response)] == ["success"]
    assert len(await logged()) == 1


async def test_a_permission_that_is_lost_between_the_page_and_its_answer(
    log_in: LogIn, crowd: Crowd
) -> None:
    browser = await log_in("view_socket", "disconnect_socket")
    page = f"{URL}socket/{quote(crowd['ann'].sid)}/do/disconnect_socket/"
    assert (await browser.get(page)).status_code == 200
    user = await get_user_model().objects.aget(username="staff")
    await user.user_permissions.aremove(await Permission.objects.aget(codename="disconnect_socket"))
    assert (await browser.post(page, {"do": "1"})).status_code == 403
    assert await crowd["ann"].call("echo", 1) == 1


async def test_who_may_not_view_may_not_do(log_in: LogIn, crowd: Crowd) -> None:
    browser = await log_in(*OPERATIONS)
    response = await choose(browser, "send_event", crowd["ann"].sid, do="1", **NEWS)
    assert response.status_code == 403
    page = f"{URL}socket/{quote(crowd['ann'].sid)}/do/send_event/"
    assert (await browser.post(page, {"do": "1", **NEWS})).status_code == 403
    assert not crowd["ann"].pending()


async def test_the_csrf_token_is_needed(crowd: Crowd) -> None:
    user = await get_user_model().objects.acreate(username="root", is_staff=True, is_superuser=True)
    browser = AsyncClient(enforce_csrf_checks=True)
    await browser.aforce_login(user)
    page = f"{URL}socket/{quote(crowd['ann'].sid)}/do/disconnect_socket/"
    assert (await browser.post(page, {"do": "1"})).status_code == 403
    response = await choose(browser, "disconnect_socket", crowd["ann"].sid, do="1")
    assert response.status_code == 403
    assert await crowd["ann"].call("echo", 1) == 1
