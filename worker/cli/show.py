"""One run of `sendcode demo`, from the first order to the last that is taken back."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import click
from rich.progress import Progress

from worker.cli.drawing import bar
from worker.cli.samples import CODE, FAULT, Row
from worker.cli.sandbox import Sandbox
from worker.errors import NotFoundError, SendcodeError, SettingsError
from worker.states import DeliveryState, VerificationStatus
from worker.verifications import Start
from worker.wiring import Sendcode

LOOK_EVERY = 0.1  # seconds
HELD = 20  # messages of one phone that are looked through for ours


class Show:
    """
    :param rows: what to send; how far each came is written there
    :param wait: seconds for the first to be accepted, and for all to end
    """

    def __init__(
        self, ours: Sendcode, sandbox: Sandbox, service: str, rows: Sequence[Row], wait: int
    ) -> None:
        self._verifications, self._sandbox = ours.verifications, sandbox
        self._account, self._service = ours.settings.account_sid, service
        self._rows, self._wait = rows, wait
        self._asked: list[Row] = []  # also that whose start Ctrl-C breaks off

    def run(self) -> None:
        """Send the first; the others once it is in the sandbox, for the workers may have settings
        of their own.

        :raises SettingsError: it went somewhere else
        :raises SendcodeError: the first was refused
        """
        with self._orders(), self._canceled_after(), bar() as shown:
            shown.add_task("demo", total=len(self._rows))
            if self._first(shown):
                for row in self._rows[1:]:
                    try:
                        self._start(row)
                    except SendcodeError as error:
                        row.refused = str(error)
                self._follow(self._rows, lambda row: row.ended, shown)

    @contextmanager
    def _orders(self) -> Iterator[None]:
        """Nobody else has ordered anything for these numbers, so all is ours to take back."""
        failing = [row.sample.to for row in self._rows if row.sample.fails]
        try:
            for to in failing:
                self._sandbox.order(to, fail=FAULT, code=CODE)
            yield
        finally:
            for to in failing:
                self._sandbox.take_back(to)

    @contextmanager
    def _canceled_after(self) -> Iterator[None]:
        """So that nothing of it goes out later, and it counts for no limit of the service."""
        try:
            yield
        finally:
            for row in self._asked:
                with suppress(NotFoundError):  # it has ended, or was never written
                    self._verifications.cancel(self._account, self._service, to=row.sample.to)

    def _first(self, shown: Progress) -> bool:
        row = self._rows[0]
        before = next((one["id"] for one in self._sandbox.requests(None, 1)), 0)
        self._start(row)
        if not self._follow(
            [row], lambda row: row.ended or row.took("accepted") is not None, shown
        ):
            click.echo(
                f"sendcode: no worker sent the first within {self._wait} s, so the others were not"
                " started: `sendcode doctor` tells why",
                err=True,
            )
            return False
        if not any(one["id"] > before for one in self._sandbox.requests(row.sample.to, HELD)):
            raise SettingsError(
                f"the first code did not reach the sandbox at {self._sandbox.url}: do the workers"
                " have other settings?"
            )
        return True

    def _start(self, row: Row) -> None:
        wanted = Start(service_sid=self._service, to=row.sample.to, channel=row.sample.channel)
        self._asked.append(row)
        started = self._verifications.start(self._account, wanted)
        row.verification, row.delivery = started.sid, started.deliveries[-1]

    def _follow(self, rows: Sequence[Row], done: Callable[[Row], bool], shown: Progress) -> bool:
        """Look until all are done, or time is out."""
        end = time.monotonic() + self._wait
        while waiting := [row for row in rows if not done(row)]:
            for row in waiting:
                self._look(row)
            shown.update(shown.task_ids[0], completed=sum(row.ended for row in self._rows))
            if time.monotonic() > end:
                return all(map(done, rows))
            time.sleep(LOOK_EVERY)
        return True

    def _look(self, row: Row) -> None:
        found = self._verifications.fetch(self._account, sid=row.verification).deliveries
        sid = row.delivery and row.delivery.sid
        row.delivery = next(one for one in found if one.sid == sid)
        if row.sample.checks and row.state == DeliveryState.DELIVERED:
            self._check(row, row.delivery.provider_sid)

    def _check(self, row: Row, provider_sid: str | None) -> None:
        on_phone = self._sandbox.messages(row.sample.to, 0, HELD)
        code = next((one["code"] for one in on_phone if one["sid"] == provider_sid), None)
        with suppress(SendcodeError):  # the row says that it was not approved
            checked = self._verifications.check(
                self._account, None, code or "", sid=row.verification
            )
            row.approved = checked.status is VerificationStatus.APPROVED
