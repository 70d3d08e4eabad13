"""A backend in a process of its own: acts on every item, as fast as it can or at a pace.

`python -m benchmarks.producer KIND` reads a job from stdin and writes what it did to stdout.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

Act = Callable[[Any], object]


class Log:
    """When each number's request was accepted: rows committed, job about to be published."""

    def __init__(self) -> None:
        self.accepted: dict[str, float] = {}
        self._thread = threading.local()

    def begin(self, number: str) -> None:
        self._thread.number = number

    def accept(self) -> None:
        self.accepted[self._thread.number] = time.time()


def tutorial(log: Log) -> Act:
    from benchmarks.tutorial import send_code

    def act(number: str) -> None:
        log.begin(number)
        log.accept()
        send_code.delay(number)

    return act


def start(log: Log) -> Act:
    from worker import logs, settings
    from worker.verifications import Start, Verifications
    from worker.wiring import Sendcode

    ours = Sendcode(settings.current())
    logs.configure(ours.settings)
    service, account = service_sid(ours), ours.settings.account_sid

    def publish(*hint: Any) -> bool:
        log.accept()
        return ours.publish(*hint)

    _ = ours.celery
    module = Verifications(ours.db, ours.keyring, ours.limits, ours.settings, publish, ours.holds)

    def act(number: str) -> None:
        log.begin(number)
        module.start(account, Start(service, number))

    return act


def check(log: Log) -> Act:
    from worker import logs, settings
    from worker.wiring import Sendcode

    ours = Sendcode(settings.current())
    logs.configure(ours.settings)
    service, account = service_sid(ours), ours.settings.account_sid
    module = ours.verifications

    def act(item: tuple[str, str]) -> str:
        return module.check(account, service, item[1], to=item[0]).status.value

    return act


def service_sid(ours: Any) -> str:
    return str(ours.services.page(ours.settings.account_sid, limit=1)[0].sid)


def run(items: list[Any], act: Act, threads: int, rate: float | None, seconds: float) -> Any:
    """Act on the items in order until they or the seconds are over.

    :param rate: items per second, whether or not earlier ones are done; None for no pace
    """
    index, results, faults = count(), Counter[str](), Counter[str]()
    late = [0.0] * threads
    begun, worked = time.monotonic(), time.process_time()

    def work(thread: int) -> None:
        while (i := next(index)) < len(items):
            if rate:
                wait = begun + i / rate - time.monotonic()
                late[thread] = max(late[thread], -wait)
                time.sleep(max(0.0, wait))
            if time.monotonic() - begun > seconds:
                return
            try:
                results[str(act(items[i]))] += 1
            except Exception as error:  # counted and shown, it would spoil the numbers
                faults[f"{type(error).__name__}: {error}"[:200]] += 1

    running = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return {
        "done": results.total(),
        "results": results,
        "faults": faults,
        "seconds": time.monotonic() - begun,
        "cpu": time.process_time() - worked,
        "late": max(late),
    }


def main() -> None:
    job = json.load(sys.stdin)
    log = Log()
    act = {"tutorial": tutorial, "start": start, "check": check}[sys.argv[1]](log)
    items = job["items"]
    warm, items = items[: job["warm"]], items[job["warm"] :]
    for item in warm:
        act(item)
    log.accepted.clear()
    done = run(items, act, job["threads"], job["rate"], job["seconds"])
    json.dump(done | {"accepted": log.accepted}, sys.stdout)


if __name__ == "__main__":
    main()
