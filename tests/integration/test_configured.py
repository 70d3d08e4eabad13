"""Who changed what is configured is on record, on both databases."""

from typing import Any

import pytest
from sqlalchemy import event

from tests.integration.conftest import ACCOUNT
from tests.integration.doors import door
from tests.integration.operating import BRITISH, audited
from worker.audit import UNASKED, Operator, configured
from worker.services import Service
from worker.wiring import Sendcode


def told(parts: Sendcode) -> list[tuple[str, str, Any]]:
    """The audit log as action, target and what was set; all by the account, without a reason."""
    entries = audited(parts)
    assert {(one.who, one.reason) for one in entries} == {(ACCOUNT, UNASKED)}
    return [(one.action, one.target, one.after) for one in entries]


def test_a_services_changes_are_on_record(parts: Sendcode) -> None:
    """Making, changing and removing a service each leave an entry with what was set; a change that
    is refused, and one of a service that is not there, leave none."""
    client = door(parts)
    sid = client.post("/v2/Services", data={"FriendlyName": "Shop"}).json()["sid"]
    given = {"SendLimit": "3", "CodeLife": "120", "Fallback": "call:30"}
    assert client.post(f"/v2/Services/{sid}", data=given).status_code == 200
    assert client.post(f"/v2/Services/{sid}", data={"CodeLife": "1"}).status_code == 400
    assert client.post("/v2/Services/VA" + "0" * 32, data=given).status_code == 404
    origin = {"WebOrigin": "07400123456.example.com"}
    assert client.post(f"/v2/Services/{sid}", data=origin).status_code == 200
    assert client.delete(f"/v2/Services/{sid}").status_code == 204
    made, changed, moved, gone = told(parts)
    assert moved[2]["web_origin"] == "[number].example.com"
    assert made == ("service.create", sid, {"name": "Shop"})
    assert changed[:2] == ("service.update", sid)
    assert changed[2] | {"send_limit": 3, "code_life": 120, "plan": "set"} == changed[2]
    assert gone == ("service.delete", sid, None)


def test_a_hooks_changes_are_on_record(parts: Sendcode, service: Service) -> None:
    """A hook's entries name its host, and neither the rest of its address nor its secret."""
    client, path = door(parts), f"/v2/Services/{service.sid}/EventHooks"
    url = "https://hooks.example.com/in?key=hidden"
    made = client.post(path, data={"Url": url, "EventTypes": "*"}).json()
    hook = f"{path}/{made['sid']}"
    assert client.post(hook, data={"Status": "disabled"}).status_code == 200
    assert client.delete(hook).status_code == 204
    of = {"service": service.sid, "host": "hooks.example.com", "enabled": True}
    assert told(parts) == [
        ("webhook.create", made["sid"], of),
        ("webhook.update", made["sid"], of | {"enabled": False}),
        ("webhook.delete", made["sid"], {"service": service.sid}),
    ]
    configured_by = Operator("ann", "cli")
    with parts.db.begin() as connection:
        configured(connection, configured_by, "webhook.update", made["sid"], host="192.168.100.200")
    assert audited(parts)[-1].after == {"host": "192.168.100.200"}
    assert "hidden" not in str(audited(parts))
    assert made["secret"] not in str(audited(parts))


def test_what_is_let_past_the_blocks_is_on_record(parts: Sendcode) -> None:
    """A number that comes on the safe list or leaves it is named by its mask."""
    client = door(parts)
    added = client.post("/v2/SafeList/Numbers", data={"PhoneNumber": BRITISH})
    assert client.delete(f"/v2/SafeList/Numbers/{BRITISH}").status_code == 204
    assert told(parts) == [
        ("safelist.add", "+44********56", {"sid": added.json()["sid"]}),
        ("safelist.remove", "+44********56", None),
    ]
    assert BRITISH[1:] not in str(audited(parts))


@pytest.mark.parametrize("name", ["action", "who", "target"])
def test_the_log_is_read_by_index(parts: Sendcode, name: str) -> None:
    """What is looked for in a year of entries is found by an index of its own, in order."""
    asked: list[tuple[str, Any]] = []
    event.listen(
        parts.db.single,
        "before_cursor_execute",
        lambda connection, cursor, statement, given, *rest: asked.append((statement, given)),
    )
    parts.operations.audit.page(50, **{name: "x"})
    ((statement, given),) = asked
    explain = "EXPLAIN QUERY PLAN " if parts.db.dialect == "sqlite" else "EXPLAIN "
    with parts.db.begin() as connection:
        if parts.db.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = str(connection.exec_driver_sql(f"{explain}{statement}", given).all())
    assert f"ix_audit_{name}_sid" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
