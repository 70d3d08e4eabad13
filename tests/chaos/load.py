"""A steady load of starts and checks, and everything that was answered."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from tests.chaos.client import Answer, Client

THREADS = 6
CHECKED = 0.4  # of the starts
WRONG_FIRST = 0.3  # of the checks begin with a wrong code
CHECK_AFTER = 1.0  # seconds


class Load:
    """Starts at a pace until it is stopped or has `wanted` accepted ones; checks some of them.

    :param code_of: the code that last reached a phone
    :param rate: starts a second
    :param brake: while it says so, nothing is started
    """

    def __init__(
        self,
        client: Callable[[], Client],
        numbers: Iterator[str],
        code_of: Callable[[str], str | None],
        rate: float,
        seed: int,
        wanted: int | None = None,
        brake: Callable[[], bool] = lambda: False,
    ) -> None:
        self.answers: list[Answer] = []
        self.accepted = 0
        self._client, self._numbers, self._code_of = client, numbers, code_of
        self._rate, self._wanted, self._brake = rate, wanted, brake
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._checks: deque[tuple[float, Answer]] = deque()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._begin()

    @property
    def full(self) -> bool:
        return self._wanted is not None and self.accepted >= self._wanted

    def extend(self, more: int) -> None:
        """Go on until `more` further starts are accepted."""
        self._join()
        self._wanted = self.accepted + more
        self._begin()

    def stop(self) -> None:
        self._stop.set()
        self._join()

    def _begin(self) -> None:
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        client = self._client()
        while not (self._stop.is_set() or self.full):
            number, wait = self._turn()
            if self._stop.wait(wait):
                return
            while self._brake() and not self._stop.wait(0.2):
                pass
            self._keep(client.start(number))
            self._check_due(client)

    def _turn(self) -> tuple[str, float]:
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next + 1 / self._rate, now - 1)
            return next(self._numbers), max(0.0, self._next - now)

    def _keep(self, answer: Answer) -> None:
        with self._lock:
            self.answers.append(answer)
            if answer.status == 201:
                self.accepted += 1
                if self._random.random() < CHECKED:
                    self._checks.append((time.monotonic() + CHECK_AFTER, answer))
        if answer.status in (0, 503):
            self._stop.wait(0.1)

    def _check_due(self, client: Client) -> None:
        with self._lock:
            if not self._checks or self._checks[0][0] > time.monotonic():
                return
            _, start = self._checks.popleft()
            wrong_first = self._random.random() < WRONG_FIRST
        code = self._code_of(start.number)
        if code is None:
            return
        if wrong_first:
            wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
            self._keep(client.check(start.number, start.verification, wrong, False))
        self._keep(client.check(start.number, start.verification, code, True))
