"""What an answered call says and asks, document by document."""

import asyncio
import time

from api_stub.sandbox import standing
from api_stub.sandbox.callbacks import Callbacks
from api_stub.sandbox.events import heard_params
from api_stub.sandbox.store import Item, Store
from api_stub.sandbox.twiml import DEPTH, Ask, Go, Line, TwimlError, parse, steps

PRESSED = "1"  # by a callee who answers by itself
KEYS = "0123456789*#"


class HungUpError(Exception):
    """The callee, or the caller over the API, has ended the call."""


class Conversation:
    """One call's, from the answer to the last word.

    :param words: what the callee does: `end`, or one of `KEYS`
    :param by_hand: a person listens: keys are waited for, and speaking takes its time
    """

    def __init__(
        self, store: Store, callbacks: Callbacks, account: str, words: "asyncio.Queue[str]",
        by_hand: bool,
    ) -> None:  # fmt: skip
        self._store = store
        self._callbacks = callbacks
        self._account = account
        self._words = words
        self._by_hand = by_hand
        self._lines: list[Line] = []
        self.unheard = 0.0  # seconds that a person still listens to what was said

    async def play(self, item: Item) -> Item:
        """Go through the call's documents; its transcript is the item's body.

        :raises HungUpError: it ended before the last word
        """
        url, text, digits = item.param("Url"), item.param("Twiml"), ""
        for _ in range(DEPTH):
            if url:
                form = heard_params(item, self._account, digits)
                text = await self._callbacks.post(url, form) or ""
            try:
                document = list(steps(parse(text)))
            except TwimlError:
                break  # Twilio hangs up on a document it cannot read
            item, url, digits = await self._document(item, document)
            if not url:
                break
        return item

    async def _document(self, item: Item, document: list[Line | Ask | Go]) -> tuple[Item, str, str]:
        for step in document:
            if isinstance(step, Line):
                item = self._say(item, step)
            elif isinstance(step, Go):
                return item, step.url, ""
            elif digits := await self._asked(item, step):
                return item, step.url, digits
        return item, "", ""

    def _say(self, item: Item, line: Line) -> Item:
        self._lines.append(line)
        self.unheard += line.seconds if self._by_hand else 0
        standing.speaks(self._store, item, [said.language for said in self._lines])
        return self._store.change(item, body="\n".join(said.words for said in self._lines))

    async def _asked(self, item: Item, ask: Ask) -> str:
        """The keys that were pressed; empty when none was in time."""
        if not self._by_hand:
            return PRESSED
        digits, wait = "", self.unheard + ask.seconds
        try:
            while not ask.keys or len(digits) < ask.keys:
                standing.asks(self._store, item, time.time() + wait)
                key = await self._key(wait)
                if key is None or key in ask.finish:
                    break
                digits, wait = digits + key, ask.seconds
        finally:
            standing.asks(self._store, item, None)
        self.unheard = 0.0
        return digits

    async def _key(self, wait: float) -> str | None:
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        while True:
            try:
                word = await asyncio.wait_for(self._words.get(), max(end - loop.time(), 0))
            except TimeoutError:
                return None
            if word == "end":
                raise HungUpError
            if word in KEYS:
                return word
