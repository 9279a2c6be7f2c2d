"""Routes for the tests of the second fence: views that wait."""

from __future__ import annotations

import asyncio

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpResponse
from django.urls import path


def who() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


@login_not_required
async def slow(request):
    found = []
    for _ in range(3):
        found.append(await sync_to_async(who)())
        await asyncio.sleep(0.002)
    return HttpResponse(" ".join(found))


@login_not_required
def plain(request):
    return HttpResponse(who())


urlpatterns = [
    path("slow/", slow),
    path("plain/", plain),
    path("accounts/login/", plain, name="account_login"),
]
