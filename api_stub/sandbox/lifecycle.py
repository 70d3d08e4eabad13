"""What happens to a message or a call after it was accepted, step by step."""

import asyncio
import contextlib
import time

from api_stub.sandbox import faults
from api_stub.sandbox.callbacks import Callbacks
from api_stub.sandbox.events import call_event, heard_params, message_event
from api_stub.sandbox.store import Item, Store
from api_stub.sandbox.twiml import DEPTH, TwimlError, hear, parse

STEP = 0.03  # seconds between two steps of a message
RING = 0.3  # until a call is answered on its own
TALK = 0.5  # until an answered call ends
POOL_NUMBER = "+15005550006"  # Twilio's own test sender; what a messaging service sends from
OUTCOMES = {"busy": "busy", "decline": "busy", "no-answer": "no-answer", "end": "canceled"}


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
        """Tell a living call `answer`, `decline` or `end`; False when it has ended."""
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
        await asyncio.sleep(STEP)
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
        await asyncio.sleep(STEP)
        item = self._store.change(item, status="ringing", begun=time.time())
        self._tell(item, "ringing", 1)
        return item

    async def _answer(self, item: Item) -> str:
        """Wait for the callee: empty when answered, else the status the call ends with."""
        if item.undelivered is not None:
            return "failed"
        answer = faults.answer_of(self._store, item.recipient)
        wait = float(item.param("Timeout") or 60) if answer == "manual" else RING
        word = await self._signalled(item, wait)
        if word == "answer" or (word is None and answer == "auto"):
            return ""
        return OUTCOMES[word or {"manual": "no-answer"}.get(answer, answer)]

    async def _talk(self, item: Item) -> None:
        if item.status != "in-progress":
            item = self._store.change(item, status="in-progress", begun=time.time())
            self._tell(item, "answered", 2)
        if item.arrived is None and (said := await self._conversation(item)):
            item = self._arrived(self._store.change(item, body="\n".join(said)))
        await self._signalled(item, TALK)
        self._end(item, "completed")

    async def _conversation(self, item: Item) -> list[str]:
        said: list[str] = []
        url, text = item.param("Url"), item.param("Twiml")
        pressed = False
        for _ in range(DEPTH):
            if url:
                form = heard_params(item, self._account, pressed)
                text = await self._callbacks.post(url, form) or ""
            try:
                heard = hear(parse(text))
            except TwimlError:
                break  # Twilio hangs up on a document it cannot read
            said += heard.said
            url, pressed = heard.url, heard.pressed
            if not url:
                break
        return said

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
