"""Templates: the texts of an account's own, each in some locales. A service names one as its
default, a start may name another.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from worker.db import Database, now_ms
from worker.door_tables import template_texts, templates
from worker.errors import InUseError, TemplateNotFoundError
from worker.labels import check_label
from worker.messages import check_pattern, resolve_locale
from worker.models import new_sid, services
from worker.paging import Slice, Window, look

_t, _x = templates.c, template_texts.c


@dataclass(frozen=True, slots=True)
class TemplateText:
    """Times are ms since 1970 UTC."""

    locale: str
    text: str
    is_default: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Template:
    """
    :param texts: by locale
    """

    sid: str
    account_sid: str
    friendly_name: str
    texts: Mapping[str, TemplateText]


class Templates:
    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self, account_sid: str, name: str, locale: str, text: str) -> Template:
        """Make a template of one text, which is the one that other locales fall back to.

        :raises InvalidParameterError: a value cannot be used
        """
        sid, label = new_sid("HJ"), check_label("FriendlyName", name)
        found, pattern = resolve_locale(locale, None), check_pattern(text)
        with self._db.begin() as connection:
            connection.execute(
                insert(templates).values(
                    sid=sid,
                    account_sid=account_sid,
                    friendly_name=label,
                    created_at=now_ms(),
                    updated_at=now_ms(),
                )
            )
            self._write(connection, sid, found, pattern, is_default=True)
            return _read(connection, account_sid, sid)

    def translate(self, account_sid: str, sid: str, locale: str, text: str) -> Template:
        """Write the text of a locale, a new one or in place of the old.

        :raises TemplateNotFoundError: no such template in the account
        :raises InvalidParameterError: a value cannot be used
        """
        found, pattern = resolve_locale(locale, None), check_pattern(text)
        touched = (
            update(templates)
            .where(_t.sid == sid, _t.account_sid == account_sid)
            .values(updated_at=now_ms())
        )
        with self._db.begin() as connection:
            if not connection.execute(touched).rowcount:
                raise TemplateNotFoundError
            self._write(connection, sid, found, pattern, is_default=False)
            return _read(connection, account_sid, sid)

    def fetch(self, account_sid: str, sid: str) -> Template:
        """
        :raises TemplateNotFoundError: no such template in the account
        """
        with self._db.statement() as connection:
            return _read(connection, account_sid, sid)

    def page(self, account_sid: str, window: Window, name: str | None = None) -> Slice[Template]:
        """Oldest first.

        :param name: only those of this friendly name
        """
        statement = select(templates).where(_t.account_sid == account_sid)
        if name is not None:
            statement = statement.where(_t.friendly_name == name)
        with self._db.statement() as connection:
            found = look(connection, statement, _t.sid, window, dict)
            texts = _texts(connection, [row["sid"] for row in found.items])
        items = [_template(row, texts.get(row["sid"], {})) for row in found.items]
        return Slice(items, found.earlier, found.later)

    def delete(self, account_sid: str, sid: str) -> None:
        """Remove a template that is no service's default. Codes on their way use the common text.

        :raises TemplateNotFoundError: no such template in the account
        :raises InUseError: a service names it as its default
        """
        named = select(services.c.sid).where(services.c.default_template_sid == sid)
        owned = select(_t.sid).where(_t.sid == sid, _t.account_sid == account_sid)
        with self._db.begin() as connection:
            if connection.execute(owned.with_for_update()).first() is None:
                raise TemplateNotFoundError
            if connection.execute(named).first() is not None:
                raise InUseError("a service has this template as its default")
            connection.execute(
                delete(templates).where(_t.sid == sid, _t.account_sid == account_sid)
            )

    def _write(
        self, connection: Connection, sid: str, locale: str, text: str, *, is_default: bool
    ) -> None:
        statement = self._db.insert(template_texts).values(
            template_sid=sid,
            locale=locale,
            text=text,
            is_default=is_default,
            created_at=now_ms(),
            updated_at=now_ms(),
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_x.template_sid, _x.locale],
                set_={"text": text, "updated_at": now_ms()},
            )
        )


def choose_text(
    connection: Connection, account_sid: str, sid: str, requested: str | None, country: str
) -> TemplateText:
    """The template's text for this request, in its locale.

    :param requested: the request's locale, or None: then the country's, else the default text's
    :raises TemplateNotFoundError: no such template in the account, or no such text in it
    """
    found = _read(connection, account_sid, sid).texts
    locale = resolve_locale(requested, country)
    text = found.get(locale) or found.get(locale.partition("-")[0])
    if text is not None:
        return text
    if requested is not None:
        raise TemplateNotFoundError(locale=True)
    return next(text for text in found.values() if text.is_default)


def text_of(connection: Connection, sid: str, locale: str) -> str | None:
    """The text that a template has in a locale, if it has."""
    found: str | None = connection.execute(
        select(_x.text).where(_x.template_sid == sid, _x.locale == locale)
    ).scalar_one_or_none()
    return found


def _read(connection: Connection, account_sid: str, sid: str) -> Template:
    statement = select(templates).where(_t.sid == sid, _t.account_sid == account_sid)
    row = connection.execute(statement).mappings().one_or_none()
    texts = _texts(connection, [sid])
    if row is None or sid not in texts:  # it may go between the two reads
        raise TemplateNotFoundError
    return _template(dict(row), texts[sid])


def _texts(connection: Connection, sids: list[str]) -> dict[str, dict[str, TemplateText]]:
    statement = (
        select(template_texts)
        .where(_x.template_sid.in_(sids))
        .order_by(_x.is_default.desc(), _x.locale)
    )
    found: dict[str, dict[str, TemplateText]] = {}
    for row in connection.execute(statement).mappings():
        found.setdefault(row["template_sid"], {})[row["locale"]] = _text(row)
    return found


def _text(row: RowMapping) -> TemplateText:
    return TemplateText(
        locale=row["locale"],
        text=row["text"],
        is_default=row["is_default"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _template(row: Mapping[str, str], texts: Mapping[str, TemplateText]) -> Template:
    return Template(row["sid"], row["account_sid"], row["friendly_name"], texts)
