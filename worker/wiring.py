"""Puts the parts together for one process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import redis
import structlog
from celery import Celery
from redis.sentinel import Sentinel
from sqlalchemy import Connection

from worker import celery_app, outage, tracing
from worker.api_keys import ApiKeys
from worker.attempts import Attempts
from worker.audit import Audit
from worker.authy import AuthyKeys, AuthyUsers, Figures
from worker.circuits import Circuits
from worker.codes import Keyring
from worker.db import Database
from worker.dispatch import Dispatch
from worker.dispatch.route import Route
from worker.enquiry import Enquiry
from worker.factor_telling import FactorTelling
from worker.factor_webhooks import FactorWebhooks
from worker.factors import Factors
from worker.failures import Failures
from worker.fallback import Fallback
from worker.holds import Holds
from worker.hooks import Hooks
from worker.limits import ANSWERS_WITHIN, Limits
from worker.messaging import Messaging
from worker.minutes import Minutes
from worker.most_refused import MostRefused
from worker.operations import Operations
from worker.operations.blocks import Blocks
from worker.operations.budgets import Budgets
from worker.operations.bulk import Bulk
from worker.operations.crew import Crew
from worker.operations.discarding import Discarding
from worker.operations.forcing import Forcing
from worker.operations.numbers import Numbers
from worker.operations.pauses import Pauses
from worker.operations.people import People
from worker.operations.replaying import Replaying
from worker.operations.sending import Sending
from worker.operations.testing import Testing
from worker.operators import Operators
from worker.posting import Poster
from worker.prefixes import Prefixes
from worker.providers import Provider
from worker.purging import Purging
from worker.queues import PUBLISHED_AT
from worker.ratelimits import RateLimits
from worker.receipt_health import ReceiptHealth
from worker.receipts import Receipts
from worker.records import Records
from worker.refused_callbacks import RefusedCallbacks
from worker.rollup import Rollup
from worker.safelist import SafeList
from worker.sent import Sent
from worker.services import Services
from worker.settings import Settings
from worker.spent import Spent
from worker.standing import Standing
from worker.templates import Templates
from worker.verifications import Start, Verification, Verifications
from worker.verifications.writing import Also
from worker.webhooks import Webhooks

log = structlog.get_logger()
ENQUIRE_WITHIN = 60  # seconds after which a question is asked anew
CLOCK_SLACK = 600  # seconds two hosts' clocks may be apart; the claim decides what is late


@dataclass(frozen=True)
class Sendcode:
    """One process's parts, each made when first asked for."""

    settings: Settings

    @cached_property
    def celery(self) -> Celery:
        return celery_app.configure(self.settings)

    @cached_property
    def db(self) -> Database:
        return Database(self.settings.database_url, self.settings.database_pool_size)

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.settings.keys())

    @cached_property
    def redis(self) -> "redis.Redis":
        return redis_client(self.settings)

    @cached_property
    def limits(self) -> Limits:
        return Limits(self.redis, self.spent.today, Sent(self.db, self.keyring))

    @cached_property
    def circuits(self) -> Circuits:
        return Circuits(self.redis)

    @cached_property
    def providers(self) -> dict[str, Provider]:
        """By the sender's name."""
        from worker.providers.twilio import TwilioProvider  # slow to load, and few commands send

        s = self.settings
        base_url = s.twilio_base_url or (s.sandbox_url if s.provider == "sandbox" else "")
        return {
            sender.name: TwilioProvider(
                account_sid=sender.account_sid,
                auth_token=sender.auth_token,
                base_url=base_url or None,
                sender=sender.number,
                messaging_service_sid=sender.messaging_service_sid,
                connect_timeout=s.connect_timeout,
                read_timeout=s.read_timeout,
                slots=s.worker_slots,
                ring_seconds=s.ring_seconds,
                call_seconds=s.call_seconds,
                takes_services=sender.account_sid == s.first_sender.account_sid,
            )
            for sender in s.all_senders()
        }

    @cached_property
    def provider_tokens(self) -> dict[str, str]:
        """By the provider account's sid: what its callbacks are signed with."""
        return {s.account_sid: s.auth_token for s in self.settings.all_senders()}

    @cached_property
    def api_keys(self) -> ApiKeys:
        return ApiKeys(self.db)

    @cached_property
    def authy_keys(self) -> AuthyKeys:
        return AuthyKeys(self.db)

    @cached_property
    def authy_users(self) -> AuthyUsers:
        return AuthyUsers(self.db, self.keyring)

    @cached_property
    def authy_figures(self) -> Figures:
        return Figures(self.db, self.settings.retention_days)

    @cached_property
    def attempts(self) -> Attempts:
        return Attempts(self.db, self.keyring)

    @cached_property
    def templates(self) -> Templates:
        return Templates(self.db)

    @cached_property
    def safelist(self) -> SafeList:
        return SafeList(self.db, self.keyring)

    @cached_property
    def factor_webhooks(self) -> FactorWebhooks:
        return FactorWebhooks(self.db, self._hook_schemes)

    @cached_property
    def factor_telling(self) -> FactorTelling:
        return FactorTelling(self.db, self._poster, self.settings.auth_token.get_secret_value())

    @cached_property
    def ratelimits(self) -> RateLimits:
        return RateLimits(self.db)

    @cached_property
    def hooks(self) -> Hooks:
        return Hooks(self.db, self.keyring, self._hook_schemes)

    @cached_property
    def webhooks(self) -> Webhooks:
        return Webhooks(self.db, self.keyring, self._poster)

    @cached_property
    def _poster(self) -> Poster:
        return Poster(anywhere=self.settings.provider == "sandbox")

    @property
    def _hook_schemes(self) -> tuple[str, ...]:
        return ("https", "http") if self.settings.provider == "sandbox" else ("https",)

    @cached_property
    def messaging(self) -> Messaging:
        return Messaging(self.db)

    @cached_property
    def services(self) -> Services:
        return Services(self.db)

    @cached_property
    def verifications(self) -> Verifications:
        return Verifications(
            self.db, self.keyring, self.limits, self.settings, self.publish, self.holds
        )

    @cached_property
    def factors(self) -> Factors:
        return Factors(self.db, self.keyring, self.settings)

    @cached_property
    def dispatch(self) -> Dispatch:
        route = Route(self.settings.all_senders(), self.providers, self.circuits)
        return Dispatch(
            self.db, self.keyring, route, self.settings, self.fallback.follow, self.holds
        )

    @cached_property
    def fallback(self) -> Fallback:
        return Fallback(self.db, self.limits, self.settings, self.publish, self.holds)

    @cached_property
    def receipts(self) -> Receipts:
        return Receipts(self.db, self.fallback.follow)

    @cached_property
    def receipt_health(self) -> ReceiptHealth:
        return ReceiptHealth(self.db)

    @cached_property
    def refused_callbacks(self) -> RefusedCallbacks:
        return RefusedCallbacks(self.redis)

    @cached_property
    def enquiry(self) -> Enquiry:
        slots = self.settings.worker_slots
        return Enquiry(self.db, self.providers, self.receipts.apply, max(1, slots // 4))

    @cached_property
    def standing(self) -> Standing:
        senders = self.settings.all_senders()
        return Standing(self.db, self.redis, self.circuits, senders, self.holds)

    @cached_property
    def failures(self) -> Failures:
        return Failures(self.db)

    @cached_property
    def minutes(self) -> Minutes:
        return Minutes(self.db)

    @cached_property
    def spent(self) -> Spent:
        return Spent(self.db)

    @cached_property
    def purging(self) -> Purging:
        return Purging(self.db, self.settings.retention_days, self.operations, self.operators)

    @cached_property
    def rollup(self) -> Rollup:
        return Rollup(self.db, self.settings.retention_days, self.budgets.catch_up)

    @cached_property
    def operators(self) -> Operators:
        return Operators(self.db, self.keyring)

    @cached_property
    def records(self) -> Records:
        return Records(self.db, self.keyring)

    @cached_property
    def most_refused(self) -> MostRefused:
        return MostRefused(self.limits.refusals, self.records)

    @cached_property
    def prefixes(self) -> Prefixes:
        return Prefixes(self.db, self.keyring, self.holds)

    @cached_property
    def holds(self) -> Holds:
        return Holds(self.db, self.keyring, self.settings.all_senders())

    @cached_property
    def budgets(self) -> Budgets:
        return Budgets(self.db, self.holds, self.limits, self.settings, self.spent.today)

    @cached_property
    def operations(self) -> Operations:
        s, find = self.settings, self.records.find
        senders = s.all_senders()
        sending = Sending(
            *(self.db, self.keyring, self.holds, self.limits, s, self.publish, find),
            cancel=self._cancel,
        )
        return Operations(
            pauses=Pauses(self.db, self.holds, [sender.name for sender in senders]),
            blocks=Blocks(self.db, self.keyring, self.holds),
            budgets=self.budgets,
            sending=sending,
            discarding=Discarding(self.db, s),
            numbers=Numbers(self.db, self.keyring, self.limits, s, find),
            circuits=Forcing(self.db, self.circuits, senders),
            testing=Testing(
                *(self.db, self.holds, senders, self._start_also, self._oldest_service),
                providers=lambda: self.providers,
            ),
            replaying=Replaying(self.db, s),
            people=People(self.operators),
            crew=Crew(self.db, self.redis),
            bulk=Bulk(self.db, self.records, sending),
            audit=Audit(self.db),
        )

    def _cancel(self, service: str, sid: str, also: Callable[[Connection], object]) -> object:
        account = self.settings.account_sid
        return self.verifications.cancel(account, service, sid=sid, also=also)

    def _start_also(self, wanted: Start, also: Also) -> Verification:
        return self.verifications.start(self.settings.account_sid, wanted, also=also)

    def _oldest_service(self) -> str | None:
        found = self.services.page(self.settings.account_sid, limit=1)
        return found[0].sid if found else None

    def ask_about(self, sids: Sequence[str]) -> bool:
        """Have a worker ask the provider about deliveries. A lost question is asked again."""
        return self._tell(celery_app.ENQUIRE, [list(sids)], "relay", ENQUIRE_WITHIN)

    def publish(self, queue: str, sids: Sequence[str], life: int, at: int) -> bool:
        """Tell the workers of deliveries. A hint that is lost costs seconds: the relay repeats it.

        :param life: seconds the codes still live; the claim decides, so the message may live on
        :param at: ms since 1970 UTC by the database's clock, no earlier than the rows
        """
        return self._tell(celery_app.DELIVER, [list(sids), at], queue, life + CLOCK_SLACK, at)

    def _tell(
        self, task: str, arguments: list[object], queue: str, expires: int, at: int | None = None
    ) -> bool:
        headers = tracing.headers() | ({} if at is None else {PUBLISHED_AT: at})
        try:
            self.celery.send_task(
                task,
                args=arguments,
                queue=queue,
                expires=expires,
                headers=headers,
                retry=False,
                declare=(),  # a message without an exchange needs no queue that Redis was told of
                argsrepr="",  # for tools that show them; ours hold nothing but sids
                kwargsrepr="",
            )
        except Exception as error:
            outage.lost(error)
            log.warning("job.not_enqueued", task=task, error_class=type(error).__name__)
            return False
        outage.over()
        log.debug("job.enqueued", task=task, queue=queue, deliveries=arguments[0])
        return True


def redis_client(settings: Settings) -> "redis.Redis":
    """A client for the limits: bounded in time, no replays of a script that may have run."""
    url = settings.broker_url.get_secret_value()
    bounds: dict[str, Any] = {
        "socket_timeout": ANSWERS_WITHIN,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "client_name": "sendcode-limits",
    }
    if not settings.broker_master:
        return redis.Redis.from_url(url, **bounds)
    nodes = [urlsplit(node) for node in url.split(";")]
    credentials = {"username": nodes[0].username, "password": nodes[0].password}
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        [(node.hostname, node.port or 26379) for node in nodes],
        sentinel_kwargs=bounds | credentials,
        db=int(nodes[0].path.strip("/") or 0),
        **bounds,
        **credentials,
    )
    master: redis.Redis = sentinel.master_for(settings.broker_master)
    return master
