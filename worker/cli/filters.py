"""Options that say which deliveries are meant."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from worker.filters import STATES
from worker.states import Channel

CHANNELS = click.Choice([channel.value for channel in Channel])
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Span(click.ParamType[int]):
    """A span of time such as `15m`, in seconds."""

    name = "span"

    def convert(self, value: Any, param: Any, context: Any) -> int:
        if isinstance(value, int):
            return value
        number, unit = value[:-1], value[-1:]
        if unit not in _UNITS or not (number.isascii() and number.isdigit()) or len(number) > 6:
            self.fail("write a number with s, m, h or d, such as 15m", param, context)
        return int(number) * _UNITS[unit]


of_service = click.option("--service", help="A service's sid (VA…).")
of_sender = click.option("--sender", help="Who handed it over, or tried last.")


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Passes what `worker.filters.Filters` takes of a delivery's own on as `filters`."""

    @click.option("--state", type=click.Choice(STATES))
    @click.option("--channel", type=CHANNELS)
    @click.option("--country", help="ISO code, such as GB.")
    @click.option("--error", help="The provider's code, our word, or none.")
    @of_service
    @of_sender
    @wraps(command)
    def run(
        *args: Any,
        state: str | None,
        channel: str | None,
        country: str | None,
        error: str | None,
        service: str | None,
        sender: str | None,
        **rest: Any,
    ) -> Any:
        filters = {
            "state": state,
            "channel": channel,
            "country": country and country.upper(),
            "error_code": error,
            "service": service,
            "sender": sender,
        }
        return command(*args, filters=filters, **rest)

    return run
