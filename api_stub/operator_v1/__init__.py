"""What operators see and do, over HTTP: the verbs of `worker.operations`. Ours, not Twilio's.

Every write takes `reason` and, for a trial, `dry_run`. An answer is what came of it, and never
holds a number but for `reveal`. Times are ms since 1970 UTC.
"""

from collections.abc import Mapping
from typing import Any

from api_stub.operator_v1 import codes, looks, people, plant, rules
from worker.spends import MESSAGES

ROUTERS = [room.router for room in (looks, codes, rules, plant, people)]


def describe_money(document: Mapping[str, Any], currency: str) -> None:
    """Say in the OpenAPI document that a budget may be in the currency of the prices too."""
    post = document["paths"]["/operator/v1/budget"]["post"]
    known = post["requestBody"]["content"]["application/json"]["schema"]["properties"]
    known["unit"]["enum"] = [MESSAGES, currency]
    known["amount"]["pattern"] = r"^[0-9]{1,9}(\.[0-9]{1,6})?$"
