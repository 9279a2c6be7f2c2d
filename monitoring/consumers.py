"""The websocket of every page: admits, pumps frames from the hub, and takes two kinds of words."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from monitoring import live
from monitoring.hub import Client, Feed, get_hub
from tenants.errors import Forbidden
from tenants.json_input import NotThisJSON, read_json
from tenants.rate_limits import TooManyRequests
from tenants.websocket import Admission, SignedOut, admit, admit_new

logger = logging.getLogger(__name__)

FRAME_LENGTH_MAX = 512
FRAME_DEPTH_MAX = 4
# What a page may say: a burst after a storm of alerts, and a few words a second.
WORDS_BURST = 50.0
WORDS_PER_S = 5.0
LATENCY_ms_MAX = 600_000.0

CLOSE_BAD_FRAME = 4400
CLOSE_SIGNED_OUT = 4401
CLOSE_NO_ACCESS = 4403
CLOSE_TRY_LATER = 1013


class BadFrame(Exception):
    """A page said something that is not in the contract."""


class LiveConsumer(AsyncWebsocketConsumer):
    """One page's socket. Uses no channel layer: that would cost a Redis connection a page."""

    channel_layer_alias = "none"

    admission: Admission | None = None
    feed: Feed | None = None

    async def connect(self) -> None:
        """Admit a member and start pumping; tell anybody else why not, and close."""
        self.client = Client()
        self.tasks: list[asyncio.Task[None]] = []
        self.words = WORDS_BURST
        self.words_at = asyncio.get_running_loop().time()
        # Accepted first: before that a browser is not told the reason, and would try for ever.
        await self.accept()
        try:
            self.admission = await database_sync_to_async(admit_new)(
                self.scope["tenant_host"],
                self.scope["session_key"],
                "monitoring.view",
                self.scope["address"],
            )
        except (Forbidden, TooManyRequests, DatabaseError, InterfaceError) as refusal:
            await self._refuse(refusal)
            return
        self.feed = get_hub().join(self.admission.schema, self.client)
        if self.feed.is_subscribed:
            await self.feed.send_snapshot(self.client)
        self.tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._watch())]

    async def disconnect(self, code: int) -> None:
        """Leave the hub and end this page's tasks."""
        for task in self.tasks:
            task.cancel()
        for result in await asyncio.gather(*self.tasks, return_exceptions=True):
            if isinstance(result, Exception):
                # A page that went away while a frame was being sent.
                logger.info("a live socket ended: %r", result)
        if self.feed is not None:
            await get_hub().leave(self.feed, self.client)
            self.feed = None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take a word of the contract; close on anything else."""
        if self.feed is None:
            return
        try:
            self._spend_word()
            await self._take(_parse(text_data), self.feed)
        except BadFrame as problem:
            await self.send(text_data=live.encode({"type": "error", "detail": str(problem)}))
            await self.close(CLOSE_BAD_FRAME)

    async def _take(self, word: dict[str, Any], feed: Feed) -> None:
        if word.get("type") == "snapshot?":
            await feed.send_snapshot(self.client)
        elif word.get("type") == "rendered":
            await feed.record_rendered(_rendered_latency_ms(word))
        else:
            raise BadFrame("A page may send snapshot? and rendered, nothing else.")

    def _spend_word(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self.words = min(WORDS_BURST, self.words + (now_s - self.words_at) * WORDS_PER_S) - 1
        self.words_at = now_s
        if self.words < 0:
            raise BadFrame("Too many frames.")

    async def _admit(self) -> Admission:
        return await database_sync_to_async(admit)(
            self.scope["tenant_host"], self.scope["session_key"], "monitoring.view"
        )

    async def _pump(self) -> None:
        while True:
            await self.send(text_data=await self.client.next_text())

    async def _watch(self) -> None:
        """End the stream of somebody who signed out, lost the role, or belongs elsewhere now."""
        while True:
            await asyncio.sleep(settings.AII_CHECK_SESSION_EVERY_S)
            try:
                if await self._admit() == self.admission:
                    continue
                refusal: Exception = SignedOut("Somebody else signed in.")
            except Forbidden as found:
                refusal = found
            except (DatabaseError, InterfaceError):
                # A database that is away signs nobody out.
                continue
            await self._refuse(refusal)
            return

    async def _refuse(self, refusal: Exception) -> None:
        if not isinstance(refusal, Forbidden):
            await self.close(CLOSE_TRY_LATER)
            return
        signed_out = isinstance(refusal, SignedOut)
        reasons = {"signed_out", "second_factor_needed"}
        reason = refusal.code if refusal.code in reasons else "no_access"
        await self.send(text_data=live.encode({"type": "bye", "reason": reason}))
        await self.close(CLOSE_SIGNED_OUT if signed_out else CLOSE_NO_ACCESS)


def _parse(text: str | None) -> dict[str, Any]:
    if text is None:
        raise BadFrame("Frames are text.")
    if len(text) > FRAME_LENGTH_MAX:
        raise BadFrame(f"A frame has at most {FRAME_LENGTH_MAX} characters.")
    try:
        word = read_json(text, length_max=FRAME_LENGTH_MAX, depth_max=FRAME_DEPTH_MAX)
    except NotThisJSON:
        raise BadFrame("A frame is JSON.") from None
    if not isinstance(word, dict):
        raise BadFrame("A frame is a JSON object.")
    return word


def _rendered_latency_ms(word: dict[str, Any]) -> float:
    seq, t, latency_ms = word.get("seq"), word.get("t"), word.get("latency_ms")
    for number in (seq, t, latency_ms):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise BadFrame("rendered has the numbers seq, t and latency_ms.")
    assert isinstance(latency_ms, int | float)
    # Also false for NaN, and safe for an integer that no float can hold.
    if not 0 <= latency_ms <= LATENCY_ms_MAX:
        raise BadFrame(f"latency_ms is a number from 0 to {LATENCY_ms_MAX:.0f}.")
    return float(latency_ms)
