"""Traces by OpenTelemetry: one per verification, from its start to its receipts and checks.

The trace's id is the verification's sid without its letters, so that every process finds it without
being told; what lies under what is carried in the job message's headers. Without the setting, the
functions below do nothing and no package is imported. No span holds a number or a code.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from worker.errors import OutcomeUnknownError, ProviderError, SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

PARENT = "traceparent"  # the header, as W3C Trace Context writes it
_NOTHING: AbstractContextManager[None] = nullcontext()
_wanted: ContextVar[int | None] = ContextVar("wanted", default=None)
_told: ContextVar[str | None] = ContextVar("told", default=None)
_provider: "TracerProvider | None" = None


def configure(endpoint: str, version: str) -> None:
    """Send spans to an OTLP/HTTP endpoint such as `http://collector:4318`; to none where empty.

    :raises SettingsError: the extra is not installed
    """
    global _provider
    if not endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ImportError:
        raise SettingsError(
            "SENDCODE_OTLP_ENDPOINT needs an extra: pip install 'sendcode[otel]'"
        ) from None

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _wanted.get() or super().generate_trace_id()

    about = {"service.name": "sendcode", "service.version": version}
    _provider = TracerProvider(id_generator=Ids(), resource=Resource.create(about))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def is_on() -> bool:
    """Whether spans are sent anywhere."""
    return _provider is not None


def close() -> None:
    """Send what is left."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def span(
    name: str, verification_sid: str, *, since: float | None = None, **about: str
) -> AbstractContextManager[None]:
    """A step of a verification, under the one that its message came from, if any.

    :param since: when it began, on the monotonic clock; else now
    """
    if _provider is None:
        return _NOTHING
    return _span(name, verification_sid, since, about)


def child(name: str, **about: str) -> AbstractContextManager[None]:
    """A part of the present step."""
    return _NOTHING if _provider is None else _child(name, about)


def mark(name: str, verification_sid: str, **about: str) -> None:
    """A step that is over."""
    if _provider is not None:
        with _span(name, verification_sid, None, about):
            pass


def headers() -> dict[str, str]:
    """What a message carries of the present step."""
    if _provider is None:
        return {}
    from opentelemetry.trace import get_current_span

    here = get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {PARENT: f"00-{here.trace_id:032x}-{here.span_id:016x}-{int(here.trace_flags):02x}"}


def received(message: Mapping[str, Any]) -> AbstractContextManager[None]:
    """While a message with these headers is worked on."""
    return _NOTHING if _provider is None else _received(message)


@contextmanager
def _received(message: Mapping[str, Any]) -> Iterator[None]:
    token = _told.set(str(message.get(PARENT) or ""))
    try:
        yield
    finally:
        _told.reset(token)


@contextmanager
def _span(
    name: str, verification_sid: str, since: float | None, about: Mapping[str, str]
) -> Iterator[None]:
    from opentelemetry.context import Context

    trace_id = int(verification_sid[2:], 16)
    token = _wanted.set(trace_id)
    try:
        with _recorded(name, _under(trace_id) or Context(), since, about):
            yield
    finally:
        _wanted.reset(token)


@contextmanager
def _child(name: str, about: Mapping[str, str]) -> Iterator[None]:
    with _recorded(name, None, None, about):
        yield


def _under(trace_id: int) -> Any:
    """The context that a message told of, where it is of this trace."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    told = _told.get()
    if not told or told[3:35] != f"{trace_id:032x}":
        return None
    return TraceContextTextMapPropagator().extract({PARENT: told})


@contextmanager
def _recorded(
    name: str, context: Any, since: float | None, about: Mapping[str, str]
) -> Iterator[None]:
    from opentelemetry.trace import Status, StatusCode

    assert _provider is not None
    begun = None if since is None else time.time_ns() - int((time.monotonic() - since) * 1e9)
    attributes = {f"sendcode.{key}": value for key, value in about.items()}
    with _provider.get_tracer("sendcode").start_as_current_span(
        f"sendcode.{name}",
        context=context,
        start_time=begun,
        attributes=attributes,
        record_exception=False,  # a library's message may hold what it was given
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except (ProviderError, OutcomeUnknownError) as error:
            span.set_status(Status(StatusCode.ERROR, error.code))
            raise
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
