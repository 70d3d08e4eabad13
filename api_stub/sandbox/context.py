"""The parts of one running sandbox, and how a route gets at them."""

from dataclasses import dataclass
from typing import cast

from fastapi import Request

from api_stub.sandbox.lifecycle import Lifecycle
from api_stub.sandbox.store import Store
from worker.settings import Settings


@dataclass(frozen=True)
class Sandbox:
    settings: Settings
    store: Store
    lifecycle: Lifecycle

    @property
    def account(self) -> str:
        return self.settings.first_sender.account_sid


def of(request: Request) -> Sandbox:
    return cast(Sandbox, request.app.state.sandbox)
