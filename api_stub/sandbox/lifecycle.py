"""What happens to a message or a call after it was accepted, step by step."""

import asyncio
import contextlib
import time

from api_stub.sandbox import faults, standing
from api_stub.sandbox.callbacks import Callbacks
from api_stub.sandbox.conversation import KEYS, Conversation, HungUpError
from api_stub.sandbox.events import call_event, message_event
from api_stub.sandbox.store import Item, Store

STEP = 0.03  # seconds between two steps of a message
RING = 0.3  # until a call is answered on its own
TALK = 0.5  # until an answered call ends
POOL_NUMBER = "+15005550006"  # Twilio's own test sender; what a messaging service sends from
RING_LIMIT = 60.0  # Twilio's own, where a call says nothing
RINGS, TALKS = ("queued", "ringing"), ("in-progress",)
WORDS = {"answer": RINGS, "ignore": RINGS, "decline": RINGS, "end": TALKS}  # and when each fits
OUTCOMES = {"busy": "busy", "decline": "busy", "no-answer": "no-answer", "end": "canceled"}


def rings_until(item: Item) -> float:
    """When a call that nobody answers ends, in seconds since 1970."""
    return (item.begun or item.created) + float(item.param("Timeout") or RING_LIMIT)


class Lifecycle:
    """Runs every unfinished item; what it did is in the store before anyone is told."""

    def __init__(self, store: Store, callbacks: Callbacks, account: str, pool: str) -> None:
        self._store = store
        self._callbacks = callbacks
        self._account = account
        self._pool = pool or POOL_NUMBER
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._signals: dict[str, asyncio.Queue[str]] = {}
        self._arrivals = asyncio.Event()

    def start(self, item: Item) -> None:
        run = self._message if item.channel == "sms" else self._call
        task = asyncio.create_task(run(item))
        self._tasks[item.sid] = task
        task.add_done_callback(lambda _: self._tasks.pop(item.sid, None))

    def resume(self) -> None:
        """Go on with what an earlier run left."""
        self._callbacks.resume()
        for item in self._store.unfinished():
            self.start(item)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._callbacks.close()

    def signal(self, sid: str, word: str) -> bool:
        """Tell a living call `answer`, `ignore`, `decline`, `end` or a key; False when it ended."""
        queue = self._signals.get(sid)
        if queue is None:
            return False
        queue.put_nowait(word)
        return True

    async def arrival(self, timeout: float) -> None:
        """Return when something arrived on a phone, or after `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrivals.wait(), timeout)

    def _arrived(self, item: Item) -> Item:
        item = self._store.arrive(item)
        self._arrivals.set()
        self._arrivals = asyncio.Event()
        return item

    async def _message(self, item: Item) -> None:
        if item.status == "queued":
            await asyncio.sleep(STEP)
            sender = item.sender or self._pool
            item = self._store.change(item, status="sent", begun=time.time(), sender=sender)
            self._callbacks.queue(item, message_event(item, self._account))
        await asyncio.sleep(STEP + self._store.delayed(item))
        status = "delivered" if item.undelivered is None else "undelivered"
        item = self._store.change(item, status=status, error_code=item.undelivered)
        item = self._arrived(item)
        self._callbacks.queue(item, message_event(item, self._account))

    async def _call(self, item: Item) -> None:
        self._signals[item.sid] = asyncio.Queue()
        try:
            item = await self._ring(item)
            outcome = "" if item.status == "in-progress" else await self._answer(item)
            if outcome:
                self._end(item, outcome)
                return
            await self._talk(item)
        finally:
            del self._signals[item.sid]

    async def _ring(self, item: Item) -> Item:
        if item.status != "queued":
            return item
        self._tell(item, "initiated", 0)
        await asyncio.sleep(STEP + self._store.delayed(item))
        item = self._store.change(item, status="ringing", begun=time.time())
        self._tell(item, "ringing", 1)
        return item

    async def _answer(self, item: Item) -> str:
        """Wait for the callee: empty when answered, else the status the call ends with."""
        if item.undelivered is not None:
            return "failed"
        answer = faults.answer_of(self._store, item.recipient)
        by_hand = answer == "manual"
        word = await self._picked_up(item, rings_until(item) if by_hand else time.time() + RING)
        if word == "answer" or (word is None and answer == "auto"):
            return ""
        return OUTCOMES[word or ("no-answer" if by_hand else answer)]

    async def _picked_up(self, item: Item, end: float) -> str | None:
        """What the callee does about the ringing, None when nothing; ignored, it rings on."""
        while word := await self._signalled(item, max(end - time.time(), 0)):
            if word == "ignore":
                standing.ignored(self._store, item)
            elif word not in KEYS:
                return word
        return None

    async def _talk(self, item: Item) -> None:
        if item.status != "in-progress":
            item = self._store.change(item, status="in-progress", begun=time.time())
            self._tell(item, "answered", 2)
        by_hand = faults.answer_of(self._store, item.recipient) == "manual"
        words = self._signals[item.sid]
        talk = Conversation(self._store, self._callbacks, self._account, words, by_hand)
        with contextlib.suppress(HungUpError):
            if item.arrived is None:
                item = await talk.play(item)
            if item.body:
                item = self._arrived(item)
            await self._heard_out(item, max(TALK, talk.unheard))
        self._end(item, "completed")

    async def _heard_out(self, item: Item, seconds: float) -> None:
        end = time.time() + seconds
        while (word := await self._signalled(item, max(end - time.time(), 0))) and word != "end":
            pass  # keys that nobody asked for

    async def _signalled(self, item: Item, wait: float) -> str | None:
        try:
            return await asyncio.wait_for(self._signals[item.sid].get(), wait)
        except TimeoutError:
            return None

    def _end(self, item: Item, status: str) -> None:
        code = item.undelivered if status == "failed" else None
        item = self._store.change(item, status=status, ended=time.time(), error_code=code)
        self._tell(item, "completed", 3 if status == "completed" else 2)

    def _tell(self, item: Item, event: str, number: int) -> None:
        if event in _wanted(item):
            self._callbacks.queue(item, call_event(item, self._account, number))


def _wanted(item: Item) -> set[str]:
    events = " ".join(item.params.get("StatusCallbackEvent", [])).replace(",", " ").split()
    return set(events or ["completed"])
