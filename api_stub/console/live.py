"""The parts of pages that change by themselves, and the stream that carries them."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api_stub.console.guard import COOKIE, Watcher, is_read_only, parts_of
from api_stub.console.looks import FRESH, Looks
from api_stub.console.pages import templates

router = APIRouter()
PARTS = ("banner", "tiles", "concerns", "queues", "workers", "senders")
ASK_AGAIN = 60.0  # seconds after which a stream asks whether its session still lasts
PING = 15.0


class Live:
    """One loop per process renders the parts while anybody listens."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._listeners: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self) -> Any:
        """A queue of events; a listener that is slow gets the newest alone."""
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1)
        self._listeners.add(queue)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._run())
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def _run(self) -> None:
        while self._listeners:
            event = await run_in_threadpool(self.event)
            for queue in tuple(self._listeners):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(event)
            await asyncio.sleep(FRESH)

    def event(self) -> str:
        """What every listener gets: the parts as they are now."""
        look = self._looks.look(fresh=True)
        rendered = {
            name: templates.get_template(f"parts/{name}.html").render(look=look) for name in PARTS
        }
        return f"event: look\ndata: {json.dumps(rendered)}\n\n"


def live_of(app: FastAPI) -> Live:
    found: Live = app.state.live
    return found


@router.get("/live")
async def live(request: Request, session: Watcher) -> StreamingResponse:
    """The parts of pages, as server-sent events, until the session ends. Where nobody may act an
    open page is use of it: a screen on a wall has nobody who comes.
    """
    return StreamingResponse(
        _events(request),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _events(request: Request) -> AsyncIterator[str]:
    token, room = request.cookies.get(COOKIE, ""), parts_of(request).operators
    asked, used = time.monotonic(), is_read_only(request)
    with live_of(request.app).listening() as queue:
        yield "retry: 3000\n\n"
        while True:
            try:
                yield await asyncio.wait_for(queue.get(), PING)
            except TimeoutError:
                yield ": still here\n\n"
            if time.monotonic() - asked > ASK_AGAIN:
                asked = time.monotonic()
                if await run_in_threadpool(room.session, token, used=used) is None:
                    yield "event: ended\ndata: {}\n\n"
                    return
