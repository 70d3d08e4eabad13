"""Where a call stands: whether its ringing is ignored, and until when it asks for a key."""

from typing import NamedTuple

from api_stub.sandbox.store import Item, Store


class Standing(NamedTuple):
    """
    :param asks: seconds since 1970 until which a key is waited for; None when none is
    :param languages: of each line that was said, as TwiML names them
    """

    ignored: bool = False
    asks: float | None = None
    languages: tuple[str, ...] = ()


def of_call(store: Store, item: Item) -> Standing:
    row = store.db.execute("SELECT * FROM standings WHERE item = ?", (item.id,)).fetchone()
    if row is None:
        return Standing()
    return Standing(bool(row["ignored"]), row["asks"], tuple(row["languages"].split("\n")))


def ignored(store: Store, item: Item) -> None:
    _set(store, item, "ignored", 1)


def asks(store: Store, item: Item, until: float | None) -> None:
    _set(store, item, "asks", until)


def speaks(store: Store, item: Item, languages: list[str]) -> None:
    _set(store, item, "languages", "\n".join(languages))


def _set(store: Store, item: Item, name: str, value: object) -> None:
    store.db.execute(
        f"INSERT INTO standings (item, {name}) VALUES (?, ?)"  # noqa: S608 - our names
        f" ON CONFLICT DO UPDATE SET {name} = excluded.{name}",
        (item.id, value),
    )
