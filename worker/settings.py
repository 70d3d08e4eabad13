"""Settings from `SENDCODE_*`, validated once at start; `SENDCODE_X_FILE` names a file with X."""

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import make_url

from worker.errors import SettingsError
from worker.prices import Prices, read_prices
from worker.senders import ONLY, Sender, read_senders
from worker.states import Channel

PREFIX = "SENDCODE_"
TRACE_ID = "{trace_id}"
SAMPLE_KEY = base64.b64encode(b"sendcode sample key, never in use").decode()


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One entry of `SENDCODE_SECRET_KEYS`: 32 bytes or more under a short name."""

    kid: str
    secret: bytes = field(repr=False)


class _FileSource(PydanticBaseSettingsSource):
    """Reads `SENDCODE_X` from the file that `SENDCODE_X_FILE` names (Docker secrets)."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {}
        for name in self.settings_cls.model_fields:
            variable = f"{PREFIX}{name.upper()}"
            path = os.environ.get(f"{variable}_FILE")
            if not path:
                continue
            if variable in os.environ:
                raise SettingsError(f"{variable} and {variable}_FILE are both set: keep one")
            try:
                values[name] = Path(path).read_text().strip()
            except OSError as error:
                raise SettingsError(
                    f"{variable}_FILE: cannot read {path}: {error.strerror}"
                ) from None
        return values


Seconds = Annotated[int, Field(ge=1)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: str = Field(
        "sqlite:///.sendcode/sendcode.db",
        description="SQLAlchemy URL of PostgreSQL (`postgresql+psycopg://…`) or SQLite",
    )
    database_pool_size: int = Field(
        16, ge=1, description="connections in each of a process's two pools"
    )
    broker_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis or Valkey, a database of its own: `redis://…`, `rediss://…`, or"
        " `sentinel://host:port/0;sentinel://host:port/0` with `SENDCODE_BROKER_MASTER`",
    )
    broker_master: str = Field("", description="name of the master that the Sentinels watch")
    secret_keys: SecretStr = Field(
        SecretStr(""),
        description="`kid:base64`, comma-separated, 32 bytes or more; the first writes, all read."
        " Make one with `sendcode keys generate`",
    )
    account_sid: str = Field(
        "", pattern=r"^(AC[0-9a-f]{32})?$", description="user name of the HTTP doors (`AC…`)"
    )
    auth_token: SecretStr = Field(SecretStr(""), description="password of the HTTP doors")
    public_url: str = Field(
        "http://127.0.0.1:8080",
        description="our base URL as clients and Twilio see it; callbacks are signed over it",
    )
    provider: Literal["sandbox", "twilio"] = Field(
        "sandbox", description="`sandbox` plays Twilio on this machine, `twilio` sends"
    )
    sandbox_url: str = Field(
        "http://127.0.0.1:8081", description="where the sandbox process listens"
    )
    twilio_base_url: str = Field(
        "", description="Twilio's REST API; empty means Twilio's own, or the sandbox"
    )
    twilio_account_sid: str = Field(
        "", pattern=r"^(AC[0-9a-f]{32})?$", description="the Twilio account (`AC…`)"
    )
    twilio_auth_token: SecretStr = Field(
        SecretStr(""), description="its auth token; also checks the signature of callbacks"
    )
    twilio_from: str = Field(
        "",
        pattern=r"^(\+[1-9][0-9]{6,14})?$",
        description="sender number (E.164) for calls and, alone, for SMS",
    )
    twilio_messaging_service_sid: str = Field(
        "",
        pattern=r"^(MG[0-9a-f]{32})?$",
        description="`MG…`: SMS go through this messaging service",
    )
    twilio_per_second: float = Field(
        0,
        ge=0,
        le=10_000,
        description="SMS handed to Twilio per second, by all workers; 0: no limit",
    )
    twilio_calls_per_second: float = Field(0, ge=0, le=10_000, description="calls, likewise")
    senders: SecretStr = Field(
        SecretStr(""),
        description="several senders in place of the `SENDCODE_TWILIO_*` one: a JSON list, see"
        " docs/senders.md",
    )
    connect_timeout: float = Field(3.0, gt=0, le=10, description="seconds to reach the provider")
    read_timeout: float = Field(8.0, gt=0, le=30, description="seconds to wait for its answer")
    worker_slots: int = Field(32, ge=1, le=512, description="deliveries one worker has in flight")
    lease_seconds: Seconds = Field(
        30,
        description="how long a claim holds; at least as long as a question to the provider and a"
        " request can take, which is twice both timeouts and 3 s",
    )
    settle_seconds: Seconds = Field(
        8, description="wait before the provider is asked about an unknown outcome"
    )
    retry_base_seconds: float = Field(
        2.0, gt=0, description="first retry waits up to this, doubling, with full jitter"
    )
    retry_cap_seconds: float = Field(20.0, gt=0, description="no retry waits longer than this")
    limit_sends: int = Field(
        5, ge=1, description="sends per service and number, unless the service has its own limit, …"
    )
    limit_sends_window: Seconds = Field(600, description="… in this many seconds")
    limit_daily: int = Field(10, ge=1, description="sends per number over all services in 24 h")
    limit_daily_calls: int = Field(3, ge=0, description="of which calls")
    limit_range: int = Field(
        50,
        ge=0,
        le=100_000,
        description="starts of one service to neighbouring numbers …; 0: no such limit",
    )
    limit_range_window: Seconds = Field(3600, description="… in this many seconds")
    limit_range_digits: int = Field(
        3, ge=1, le=6, description="neighbours are alike but for this many last digits"
    )
    limit_country: int = Field(
        0,
        ge=0,
        description="starts of one service to one country in 24 h; 0: no such limit",
    )
    limit_countries: str = Field(
        "", description="countries with another number in its place, such as `GB=50000,FR=0`"
    )
    prices: str = Field(
        "",
        description="what one segment of a text and one call cost, such as"
        " `sms:*=0.08,sms:US=0.0079,call:*=0.05`: estimates until the provider tells. Empty: none",
    )
    price_currency: str = Field("USD", description="ISO code of the currency of those prices")
    busy_starts: int = Field(
        100,
        ge=0,
        description="starts of one service in ten seconds; those above it wait in a queue for busy"
        " services, so that they delay no other's. 0: no such queue",
    )
    overload_seconds: int = Field(
        30,
        ge=0,
        description="new starts get 429 while the oldest waiting job is older; 0: never",
    )
    max_checks: int = Field(
        5, ge=1, le=10, description="guesses per verification, unless its service has its own limit"
    )
    disable_after_failures: int = Field(
        100,
        ge=1,
        le=100,
        description="wrong codes in a row that disable a number in a service, or a factor",
    )
    ring_seconds: int = Field(25, ge=5, le=60, description="how long a call rings")
    call_seconds: int = Field(60, ge=20, le=600, description="how long a call may last")
    retention_days: int = Field(
        30, ge=1, description="ended verifications are purged this many days after their start"
    )
    console: Literal["on", "read-only", "off"] = Field(
        "on",
        description="`off`: no console for operators; `read-only`: whoever signs in may look and"
        " nothing else. Where there is one and the api listens beyond this machine, an operator"
        " with a password must exist",
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks of the proxies before the api, such as `10.0.0.0/8`,"
        " comma-separated: from these alone `X-Forwarded-For` says who calls. Empty: nobody's is"
        " believed, and a sign-in's address is the proxy's",
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of a worker's or relay's `/metrics`; 0: none"
    )
    metrics_host: str = Field("127.0.0.1", description="address that port listens on")
    otlp_endpoint: str = Field(
        "",
        description="where traces go, such as `http://collector:4318`; empty: none. Needs the"
        " extra `sendcode[otel]`",
    )
    trace_url: str = Field(
        "",
        description="where a trace is shown, with `{trace_id}` in it, such as"
        " `https://jaeger.example.com/trace/{trace_id}`: the console links there",
    )
    remote_control: bool = Field(False, description="answer `celery inspect` and `control`")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, else JSON"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe line that is written"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _FileSource(settings_cls), env_settings

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self.keys()  # raises when none is usable
        if self.lease_seconds < 2 * self.longest_request:
            raise ValueError(
                "SENDCODE_LEASE_SECONDS must be at least"
                f" {2 * self.longest_request:g}: twice connect and read timeout plus"
                f" {RETRY_BUDGET_SECONDS} s, for a question to the provider and a request"
            )
        if urlsplit(self.public_url).scheme not in ("http", "https"):
            raise ValueError("SENDCODE_PUBLIC_URL must start with http:// or https://")
        _check_broker_url(self.broker_url.get_secret_value())
        if self.trace_url:
            _check_trace_url(self.trace_url, self.otlp_endpoint)
        _countries(self.limit_countries)  # raises when it cannot be read
        self._check_prices()
        self.proxies()  # raises when they cannot be read
        if self._sentinel != bool(self.broker_master):
            raise ValueError(
                "SENDCODE_BROKER_URL of `sentinel://` and SENDCODE_BROKER_MASTER go together"
            )
        self._is_complete()
        self.all_senders()  # raises when they cannot be read
        return self

    def _is_complete(self) -> None:
        twilio = {
            "twilio_account_sid": self.twilio_account_sid,
            "twilio_auth_token": self.twilio_auth_token.get_secret_value(),
            "twilio_from": self.twilio_from or self.twilio_messaging_service_sid,
        }
        several = self.senders.get_secret_value()
        if several and any(twilio.values()):
            raise ValueError("SENDCODE_SENDERS and SENDCODE_TWILIO_* name senders: keep one")
        ours = {"account_sid": self.account_sid, "auth_token": self.auth_token.get_secret_value()}
        needed = ours if several else twilio | ours
        missing = [f"{PREFIX}{name.upper()}" for name, value in needed.items() if not value]
        if missing:
            raise ValueError(
                f"{', '.join(missing)} must be set"
                + (", to made-up values for the sandbox" if self.provider == "sandbox" else "")
            )

    def _check_prices(self) -> None:
        try:
            self.price_list()
        except ValueError as error:
            raise ValueError(f"SENDCODE_PRICES, SENDCODE_PRICE_CURRENCY: {error}") from None

    def price_list(self) -> Prices:
        """
        :raises ValueError: `SENDCODE_PRICES` cannot be read
        """
        return read_prices(self.prices, self.price_currency)

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/")

    def trace_of(self, verification_sid: str) -> str:
        """Where a verification's trace is shown; empty where none is sent or nothing shows it."""
        return self.trace_url.replace(TRACE_ID, verification_sid[2:])

    def most_to(self, country: str) -> int:
        """Starts of one service to a country (ISO 3166) in 24 h; 0: as many as there are."""
        return _countries(self.limit_countries).get(country, self.limit_country)

    def proxies(self) -> list[str]:
        """Addresses and networks whose `X-Forwarded-For` is believed.

        :raises ValueError: one is neither; `*` is none, since everybody would be believed
        """
        found = [entry.strip() for entry in self.trusted_proxies.split(",") if entry.strip()]
        for entry in found:
            try:
                ip_network(entry)
            except ValueError:
                raise ValueError(
                    f"SENDCODE_TRUSTED_PROXIES: {entry[:60]} is no address and no network such as"
                    " 10.0.0.0/8 (its last bits must be 0)"
                ) from None
        return found

    @property
    def longest_request(self) -> float:
        """Seconds after which a request to the provider has its answer, or never will."""
        return self.connect_timeout + self.read_timeout + RETRY_BUDGET_SECONDS

    @property
    def _sentinel(self) -> bool:
        return self.broker_url.get_secret_value().startswith("sentinel://")

    @property
    def first_sender(self) -> Sender:
        """The preferred one; its account is the one that the sandbox plays."""
        return self.all_senders()[0]

    def all_senders(self) -> tuple[Sender, ...]:
        """The senders, the preferred one first.

        :raises ValueError: `SENDCODE_SENDERS` cannot be read
        """
        several = self.senders.get_secret_value()
        if several:
            return read_senders(several)
        return (
            Sender(
                name=ONLY,
                account_sid=self.twilio_account_sid,
                auth_token=self.twilio_auth_token.get_secret_value(),
                number=self.twilio_from,
                messaging_service_sid=self.twilio_messaging_service_sid,
                channels=frozenset(Channel if self.twilio_from else {Channel.SMS}),
                per_second=self.twilio_per_second,
                calls_per_second=self.twilio_calls_per_second,
            ),
        )

    def keys(self) -> tuple[SecretKey, ...]:
        """The secret keys, the writing one first.

        :raises ValueError: none, malformed, short, repeated, or the sample outside the sandbox
        """
        entries = [e.strip() for e in self.secret_keys.get_secret_value().split(",") if e.strip()]
        if not entries:
            raise ValueError(
                "SENDCODE_SECRET_KEYS is empty: run `sendcode keys generate` and set its output"
            )
        keys = tuple(_secret_key(entry, self.provider == "sandbox") for entry in entries)
        if len({key.kid for key in keys}) != len(keys):
            raise ValueError("SENDCODE_SECRET_KEYS names one kid twice")
        return keys


def _check_trace_url(text: str, endpoint: str) -> None:
    """
    :raises ValueError: says what is wrong
    """
    if TRACE_ID not in text or urlsplit(text).scheme not in ("http", "https"):
        raise ValueError(
            "SENDCODE_TRACE_URL must be an http:// or https:// address with {trace_id} in it, such"
            " as https://jaeger.example.com/trace/{trace_id}"
        )
    if not endpoint:
        raise ValueError("SENDCODE_TRACE_URL is set and no traces are sent: see"
                         " SENDCODE_OTLP_ENDPOINT")  # fmt: skip


def _check_broker_url(text: str) -> None:
    """
    :raises ValueError: says what is wrong, and never what stands there
    """
    for part in text.split(";") if text.startswith("sentinel://") else [text]:
        try:
            url = urlsplit(part)
            usable = url.scheme in ("redis", "rediss", "sentinel") and url.hostname
            _ = url.port  # raises where a / in a password ends the host too early
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(
                "SENDCODE_BROKER_URL must be `redis://:PASSWORD@HOST:PORT/0`, where / ? # and @ of"
                " the password are percent-encoded (%2F %3F %23 %40)"
            )
        if not re.fullmatch(r"(/[0-9]{0,3})?", url.path):
            raise ValueError(
                "SENDCODE_BROKER_URL must end with the number of a database, such as /0"
            )


@lru_cache
def _countries(text: str) -> dict[str, int]:
    """
    :raises ValueError: not a list of `GB=50000`
    """
    pairs = [entry.strip() for entry in text.split(",") if entry.strip()]
    found = [re.fullmatch(r"([A-Z]{2})=([0-9]{1,7})", pair, re.ASCII) for pair in pairs]
    known = {pair[1]: int(pair[2]) for pair in found if pair}
    if len(known) != len(pairs):
        raise ValueError(
            "SENDCODE_LIMIT_COUNTRIES must be `GB=50000,FR=0`: each country once, in capitals"
        )
    return known


RETRY_BUDGET_SECONDS = 3  # what the provider adapter's own repeats may take


def _secret_key(entry: str, sandbox: bool) -> SecretKey:
    kid, separator, encoded = entry.partition(":")
    if not separator or not kid.isascii() or not kid.isalnum() or len(kid) > 16:
        raise ValueError(
            "SENDCODE_SECRET_KEYS: an entry is `kid:base64`, kid of 1 to 16 letters or digits"
        )
    try:
        secret = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(f"SENDCODE_SECRET_KEYS: key {kid} is not base64") from None
    if len(secret) < 32:
        raise ValueError(f"SENDCODE_SECRET_KEYS: key {kid} has {len(secret)} bytes, 32 are needed")
    if encoded == SAMPLE_KEY and not sandbox:
        raise ValueError(f"SENDCODE_SECRET_KEYS: key {kid} is the published sample: make your own")
    return SecretKey(kid, secret)


def load(**values: Any) -> Settings:
    """Read and validate the settings.

    :raises SettingsError: one line per fault, naming the variable and never its value
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_fault(f) for f in error.errors())) from None


def _fault(error: Any) -> str:
    where = "_".join(str(part) for part in error["loc"]).upper()
    message = error["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{where}: {message}" if where else message


def masked(name: str, value: Any) -> Any:
    """A setting's value as it may be shown: secrets as whether they are set."""
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else ""
    if name == "database_url":
        url = make_url(value)
        hidden = {key: "hidden" for key in url.query if "password" in key}
        return url.update_query_dict(hidden).render_as_string(hide_password=True)
    return value


@lru_cache(maxsize=1)
def current() -> Settings:
    """The process's settings, read once."""
    return load()
