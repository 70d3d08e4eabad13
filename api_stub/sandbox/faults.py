"""Faults on order, and numbers that always misbehave."""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api_stub.sandbox.store import Store
from api_stub.sandbox.validation import E164

PREFIX = re.compile(r"^(\+[1-9][0-9]{0,13})?\*\Z")
Answer = Literal["auto", "manual", "busy", "no-answer", "decline"]
Fail = Literal["429", "500", "503", "drop", "hang", "reject", "undelivered"]


class Fault(BaseModel):
    """What happens to the next requests for a number, by a sender (`*`: any).

    `to` is a number, a prefix with a star (`+233*`), or `*` for every number; `late` is how many
    seconds later than usual the phone has the message, or rings; `delay_ms` holds the answer back;
    `accept` takes the request although the answer is 500 or 503; `seconds` is how long a `hang`
    lasts; `list_late` is for how many seconds lists do not show what was taken, as Twilio promises
    no time; `times` null means until cleared.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str = "*"
    sender: str = Field("*", max_length=34)  # the request's From or MessagingServiceSid
    channel: Literal["sms", "call"] | None = None
    on: Literal["send", "lookup"] = "send"
    delay_ms: int = Field(0, ge=0, le=120_000)
    fail: Annotated[Fail | None, BeforeValidator(lambda v: str(v) if type(v) is int else v)] = None
    code: int | None = Field(None, ge=10_000, le=99_999)
    accept: bool = False
    retry_after: int | None = Field(None, ge=0, le=3600)
    seconds: float = Field(30, gt=0, le=300)
    callbacks: Literal["none", "twice", "reversed"] | None = None
    list_late: float = Field(0, ge=0, le=3600)
    late: float = Field(0, ge=0, le=3600)
    times: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (E164.match(self.to) or PREFIX.match(self.to)):
            raise ValueError("to must be an E.164 number, a prefix such as +233*, or *")
        if not (self.delay_ms or self.fail or self.callbacks or self.list_late or self.late):
            raise ValueError("one of delay_ms, fail, callbacks, list_late, late is needed")
        if (self.list_late or self.late) and self.on != "send":
            raise ValueError("list_late and late are for what is sent")
        if self.fail in ("reject", "undelivered") and self.code is None:
            raise ValueError(f"fail {self.fail} needs a code")
        return self


@dataclass(frozen=True)
class Magic:
    """A number that always does one thing; the fault meets `times` of every `cycle` requests."""

    summary: str
    fault: Fault | None = None
    cycle: int = 1
    answer: Answer = "auto"


# 202-555-0100 to 0199 are kept for fiction, and valid numbers to libphonenumber (Britain's
# 07700 900xxx are fictional too, yet not valid to it).
MAGIC: dict[str, Magic] = {
    "+12025550191": Magic("never delivered (30003)", Fault(fail="undelivered", code=30003)),
    "+12025550192": Magic("refused as no number (21211)", Fault(fail="reject", code=21211)),
    "+12025550193": Magic("refused, it sent STOP (21610)", Fault(fail="reject", code=21610)),
    "+12025550194": Magic(
        "429 twice, then accepted", Fault(fail="429", retry_after=1, times=2), cycle=3
    ),
    "+12025550195": Magic("500 once, then accepted", Fault(fail="500", times=1), cycle=2),
    "+12025550196": Magic("accepted, then no answer", Fault(fail="drop")),
    "+12025550197": Magic("a call finds it busy", answer="busy"),
    "+12025550198": Magic("a call is not answered", answer="no-answer"),
    "+12025550199": Magic("no status callbacks", Fault(callbacks="none")),
}


def add(store: Store, fault: Fault) -> int:
    cursor = store.db.execute(
        "INSERT INTO faults (recipient, spec, remaining) VALUES (?, ?, ?)",
        (fault.to, fault.model_dump_json(), fault.times),
    )
    return int(cursor.lastrowid or 0)


def listed(store: Store) -> list[dict[str, Any]]:
    rows = store.db.execute("SELECT * FROM faults ORDER BY id")
    return [
        {"id": row["id"], **json.loads(row["spec"]), "remaining": row["remaining"]} for row in rows
    ]


def clear(store: Store, to: str) -> int:
    """Forget the faults of one number or prefix, or all when `to` is empty; cycles start anew."""
    values = (to, to)
    store.db.execute("DELETE FROM counters WHERE ? = '' OR recipient = ?", values)
    return store.db.execute("DELETE FROM faults WHERE ? = '' OR recipient = ?", values).rowcount


def drop(store: Store, fault: int) -> None:
    """Forget one fault."""
    store.db.execute("DELETE FROM faults WHERE id = ?", (fault,))


def take(store: Store, to: str, channel: str, on: str, sender: str = "") -> Fault | None:
    """The fault that meets this request: the number's own first, then the longest prefix's, `*`
    last, then a magic number's."""
    rows = store.db.execute(
        "SELECT * FROM faults WHERE recipient = ?1 OR (recipient LIKE '%*'"
        " AND substr(?1, 1, length(recipient) - 1) = rtrim(recipient, '*'))"
        " ORDER BY recipient = ?1 DESC, length(recipient) DESC, id",
        (to,),
    ).fetchall()
    for row in rows:
        fault = Fault.model_validate_json(row["spec"])
        if fault.on == on and fault.channel in (None, channel) and fault.sender in ("*", sender):
            _use(store, row["id"], row["remaining"])
            return fault
    return _magic(store, to) if on == "send" else None


def _use(store: Store, fault: int, remaining: int | None) -> None:
    if remaining is not None and remaining <= 1:
        store.db.execute("DELETE FROM faults WHERE id = ?", (fault,))
    elif remaining is not None:
        store.db.execute("UPDATE faults SET remaining = remaining - 1 WHERE id = ?", (fault,))


def _magic(store: Store, to: str) -> Fault | None:
    magic = MAGIC.get(to)
    if magic is None or magic.fault is None:
        return None
    row = store.db.execute(
        "INSERT INTO counters VALUES (?, 1) ON CONFLICT DO UPDATE SET requests = requests + 1"
        " RETURNING requests",
        (to,),
    ).fetchone()
    place = (row["requests"] - 1) % magic.cycle
    return magic.fault if place < (magic.fault.times or magic.cycle) else None


def set_answer(store: Store, to: str, answer: str) -> None:
    store.db.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (to, answer))


def answer_of(store: Store, to: str) -> str:
    """How the number answers calls: as told, else as its magic says, else `auto`."""
    row = store.db.execute("SELECT answer FROM numbers WHERE recipient = ?", (to,)).fetchone()
    if row is not None:
        return str(row["answer"])
    return MAGIC[to].answer if to in MAGIC else "auto"
