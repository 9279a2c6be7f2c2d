"""The hub: one Redis subscription per tenant per server process, fanned out to the pages.

A frame is encoded once, by whoever published it, and handed to each page's queue as the same text.
A page that reads too slowly loses its oldest frames, sees a gap in ``seq`` and asks for a snapshot;
it never holds up the others. With 1000 pages this costs 18.5 ms of CPU a broadcast; one channel
layer group of 1000 consumers cost 240 to 370 ms.

When Redis goes, each page is told within two seconds; when it is back, the feed subscribes again
and sends each page a fresh snapshot, because what was published meanwhile is lost.

Everything here runs on one event loop; only ``count_clients`` may be called from other threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError

from monitoring import live
from tenants.redis import get_async_redis, tenant_key

logger = logging.getLogger(__name__)

QUEUE_MAX = 16
RETRY_S = 0.5
# A subscription that is silent for so long is asked whether it is alive.
QUIET_S = 1.0
ANSWER_S = 1.0
RENDERED_KEPT = 1000
AWAY = (RedisError, OSError, TimeoutError)


class Frame(NamedTuple):
    """A text on its way to pages; ``seq`` is None for frames outside the sequence."""

    text: str
    seq: int | None = None
    is_snapshot: bool = False


class Client:
    """One page: a bounded queue that drops the oldest frame."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque(maxlen=QUEUE_MAX)
        self._ready = asyncio.Event()
        self._seq = -1

    def put(self, frame: Frame) -> None:
        """Queue a frame; a snapshot replaces every delta that waits."""
        if frame.is_snapshot:
            kept = [waiting for waiting in self._frames if waiting.seq is None]
            self._frames.clear()
            self._frames.extend(kept)
        self._frames.append(frame)
        self._ready.set()

    async def next_text(self) -> str:
        """Wait for the next frame; deltas that a snapshot already contains are left out."""
        while True:
            while not self._frames:
                self._ready.clear()
                await self._ready.wait()
            frame = self._frames.popleft()
            if frame.seq is not None and not frame.is_snapshot and frame.seq <= self._seq:
                continue
            if frame.seq is not None:
                self._seq = frame.seq
            return frame.text


class Feed:
    """One tenant's subscription in this process, alive while a page listens."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.clients: set[Client] = set()
        self._redis = get_async_redis()
        self._is_up: bool | None = None
        self._task: asyncio.Task[None] | None = None

    def join(self, client: Client) -> None:
        """Add a page and start listening with the first; it gets a snapshot as its first frame."""
        self.clients.add(client)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        elif self._is_up is False:
            client.put(status_frame("down"))

    async def leave(self, client: Client) -> None:
        """Remove a page and stop listening with the last."""
        self.clients.discard(client)
        if self.clients or self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._redis.aclose()

    @property
    def is_subscribed(self) -> bool:
        """Whether what is published now reaches the pages."""
        return self._is_up is True

    async def read_snapshot(self) -> Frame:
        """Read the tenant's state and its number at one instant; raises one of ``AWAY``."""
        keys = (live.seq_key(self.schema), live.state_key(self.schema))
        async with asyncio.timeout(ANSWER_S):
            call: Any = self._redis.eval(live.READ_SCRIPT, 2, *keys)
            seq, flat = await call
        return Frame(live.snapshot_frame(int(seq), flat), int(seq), is_snapshot=True)

    async def send_snapshot(self, client: Client) -> None:
        """Queue a fresh snapshot for one page, or say that Redis is away."""
        try:
            client.put(await self.read_snapshot())
        except AWAY:
            client.put(status_frame("down"))

    async def record_rendered(self, latency_ms: float) -> None:
        """Keep how long a frame took from the server's clock to a page's pixels."""
        key = tenant_key(self.schema, "live", "rendered")
        try:
            async with asyncio.timeout(ANSWER_S), self._redis.pipeline(transaction=False) as pipe:
                pipe.lpush(key, f"{live.now_ms()} {latency_ms:.1f}")
                pipe.ltrim(key, 0, RENDERED_KEPT - 1)
                await pipe.execute()
        except AWAY:
            logger.info("a render time was not kept: Redis is away")

    def _broadcast(self, frame: Frame) -> None:
        for client in self.clients:
            client.put(frame)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except AWAY as error:
                if self._is_up is not False:
                    logger.warning("live feed of %s lost Redis: %s", self.schema, error)
                    self._is_up = False
                    self._broadcast(status_frame("down"))
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub()
        was_asked = False
        try:
            async with asyncio.timeout(ANSWER_S):
                await pubsub.subscribe(live.channel_of(self.schema, self._redis))
            while True:
                message = await pubsub.get_message(timeout=ANSWER_S if was_asked else QUIET_S)
                if message is None and was_asked:
                    raise TimeoutError("the subscription does not answer")
                if message is None:
                    async with asyncio.timeout(ANSWER_S):
                        await pubsub.ping()
                was_asked = message is None
                if message is not None:
                    await self._take(message)
        finally:
            await pubsub.aclose()

    async def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            # Also after redis-py reconnected by itself: what was published meanwhile is lost.
            snapshot = await self.read_snapshot()
            if self._is_up is False:
                self._broadcast(status_frame("up"))
            self._is_up = True
            self._broadcast(snapshot)
        elif message["type"] == "message":
            seq, _, text = message["data"].partition(" ")
            self._broadcast(Frame(text, int(seq)))


class Hub:
    """The feeds of one event loop."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}

    def join(self, schema: str, client: Client) -> Feed:
        """Add a page to its tenant's feed and return it."""
        feed = self._feeds.get(schema)
        if feed is None:
            feed = self._feeds[schema] = Feed(schema)
        feed.join(client)
        return feed

    async def leave(self, feed: Feed, client: Client) -> None:
        """Remove a page from its feed; a feed without pages is forgotten first, then closed."""
        if feed.clients == {client} and self._feeds.get(feed.schema) is feed:
            del self._feeds[feed.schema]
        await feed.leave(client)

    def count(self) -> dict[str, int]:
        """Return the number of pages of each tenant."""
        return {schema: len(feed.clients) for schema, feed in list(self._feeds.items())}


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """Return the hub of the running event loop: a server process has one loop, and so one hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


def count_clients() -> dict[str, int]:
    """Return the pages that listen in this process, by tenant."""
    counts: dict[str, int] = {}
    for hub in list(_hubs.values()):
        for schema, number in hub.count().items():
            counts[schema] = counts.get(schema, 0) + number
    return counts


def status_frame(redis: str) -> Frame:
    """Return the frame that says whether Redis answers this server process."""
    return Frame(live.encode({"type": "status", "t": live.now_ms(), "redis": redis}))
