"""Renders pages: what every page shares, and the words that templates use."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api_stub.console import wording
from api_stub.console.countries import name_of
from api_stub.console.look import level_of
from api_stub.console.looks import Looks
from worker import __version__
from worker.operators import Role, Session
from worker.settings import Settings

HERE = Path(__file__).parent
BASE = "/console"
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "__Host-sendcode-theme"
NAV = (
    ("overview", "Overview", "/"),
    ("queues", "Queues", "/queues"),
    ("failures", "Failures", "/failures"),
    ("requests", "Requests", "/requests"),
    ("countries", "Countries", "/countries"),
    ("senders", "Senders", "/senders"),
    ("workers", "Workers", "/workers"),
    ("webhooks", "Webhooks", "/webhooks"),
    ("limits", "Limits", "/limits"),
    ("audit", "Audit log", "/audit"),
    ("settings", "Settings", "/settings"),
    ("operators", "Operators", "/operators"),
)
templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {
    "ago": wording.ago,
    "idle": wording.idle,
    "clock": wording.clock,
    "fact": wording.fact,
    "span": wording.span,
    "ms": wording.ms,
    "percent": wording.percent,
    "count": wording.count,
    "money": wording.money,
    "points": wording.points,
    "marked": wording.marked,
    "who": wording.who,
    "country": name_of,
    "age_level": level_of,
    "level": lambda look: level_of(look.oldest),
}
templates.globals |= {"base": BASE, "version": __version__, "nav": NAV, "themes": THEMES}


def link(path: str, **query: object) -> str:
    """A page of the console; what is None or empty is left out of its query."""
    asked = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{BASE}{path}?{asked}" if asked else f"{BASE}{path}"


templates.globals |= {"link": link, "told": wording.told}


def page(
    request: Request, template: str, status: int = 200, *, fresh: bool = False, **values: Any
) -> HTMLResponse:
    """A whole page for whoever is signed in, or for nobody.

    :param fresh: it shows how everything stands at this moment
    :param values: for the template; `back` is the path of the page to go on to
    """
    looks: Looks = request.app.state.looks
    session: Session | None = getattr(request.state, "session", None)
    settings: Settings = request.app.state.doors.state.settings
    theme = request.cookies.get(THEME_COOKIE, "auto")
    shown = {
        "session": session,
        "csrf": getattr(request.state, "csrf", ""),
        "theme": theme if theme in THEMES else "auto",
        "here": _here(request, values.get("back", "/")),
        "may": lambda role: session is not None and session.operator.role.allows(Role(role)),
        "sandbox": settings.provider == "sandbox",
        "read_only": settings.console == "read-only",
        "trace_of": settings.trace_of,
        "look": looks.look(fresh) if session and not session.only_enrols else None,
        **values,
    }
    return HTMLResponse(templates.get_template(template).render(shown), status)


def _here(request: Request, back: str) -> str:
    """The address that shows this page again; of the answer to a form, where it leads back to."""
    if request.method != "GET":
        return f"{BASE}{back}"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
