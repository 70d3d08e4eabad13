"""What the tests of operators' actions share."""

from collections.abc import Sequence
from typing import Any

from tests.integration.conftest import ACCOUNT, NUMBER
from worker.audit import Entry, Operator
from worker.relay import Relay
from worker.services import Service
from worker.verifications import Start, Verification
from worker.wiring import Sendcode

ANN, ADMIN = Operator("ann", "10.0.0.1"), Operator("root", "cli@host", admin=True)
BRITISH, AMERICAN = NUMBER, "+13035550100"


def start(parts: Sendcode, service: Service, to: str = BRITISH, **values: Any) -> Verification:
    return parts.verifications.start(ACCOUNT, Start(service.sid, to, **values))


def delivery_of(parts: Sendcode, service: Service, to: str = BRITISH, **values: Any) -> str:
    return start(parts, service, to, **values).deliveries[-1].sid


def make_relay(parts: Sendcode) -> Relay:
    return Relay(
        *(parts.db, parts.redis, parts.settings, parts.publish, parts.fallback, parts.ask_about),
        holds=parts.holds,
        operations=parts.operations,
    )


def audited(parts: Sendcode) -> Sequence[Entry]:
    """The audit log, the oldest first."""
    return parts.operations.audit.page(1000)[::-1]
