"""Settings are loud at start."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.senders import read_senders
from worker.settings import SAMPLE_KEY, load, masked

GOOD = base64.b64encode(b"k" * 32).decode()
COMPLETE: dict[str, Any] = {
    "secret_keys": f"k1:{GOOD}",
    "account_sid": "AC" + "a" * 32,
    "auth_token": "token",
    "twilio_account_sid": "AC" + "b" * 32,
    "twilio_auth_token": "secret",
    "twilio_from": "+12025550100",
}
SENDER = {
    "name": "a",
    "account_sid": "AC" + "1" * 32,
    "auth_token": "t",
    "from": "+12025550100",
}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "is empty"),
        ("k1", "kid:base64"),
        (f"k 1:{GOOD}", "kid:base64"),
        ("k1:###", "not base64"),
        (f"k1:{base64.b64encode(b'short').decode()}", "5 bytes"),
        (f"k1:{GOOD},k1:{GOOD}", "twice"),
    ],
)
def test_unusable_keys_refuse_to_start(keys: str, said: str) -> None:
    """No key, a short one, a malformed one or a repeated name stops the start and says which."""
    with pytest.raises(SettingsError, match=said):
        load(**COMPLETE | {"secret_keys": keys})


def test_the_sample_key_works_in_the_sandbox_only() -> None:
    """The published sample key is refused as soon as real messages could go out."""
    sample = COMPLETE | {"secret_keys": f"k1:{SAMPLE_KEY}"}
    assert load(**sample).provider == "sandbox"
    with pytest.raises(SettingsError, match="sample"):
        load(**sample, provider="twilio")


@pytest.mark.parametrize("given", ["GB", "gb=5", "GB=-1", "GB=5,GB=6", "GB=5;FR=6", "GBR=5"])
def test_countries_that_cannot_be_read_refuse_to_start(given: str) -> None:
    """A list of countries with a slip in it is no list, and the variable is named."""
    with pytest.raises(SettingsError, match="SENDCODE_LIMIT_COUNTRIES"):
        load(**COMPLETE, limit_countries=given)


@pytest.mark.parametrize("given", ["*", "10.0.0.1/8", "proxy.example.com", "10.0.0.0/8;::1"])
def test_a_proxy_that_is_none_refuses_to_start(given: str) -> None:
    """Neither everybody, nor a name, nor a network with a slip in it is believed."""
    with pytest.raises(SettingsError, match="SENDCODE_TRUSTED_PROXIES"):
        load(**COMPLETE, trusted_proxies=given)
    assert load(**COMPLETE, trusted_proxies="10.0.0.0/8, ::1").proxies() == ["10.0.0.0/8", "::1"]


@pytest.mark.parametrize(
    ("given", "endpoint", "said"),
    [
        ("https://jaeger.example.com/trace/", "http://c:4318", "trace_id"),
        ("javascript:alert({trace_id})", "http://c:4318", "https://"),
        ("https://jaeger.example.com/trace/{trace_id}", "", "SENDCODE_OTLP_ENDPOINT"),
    ],
)
def test_a_trace_that_nothing_shows_refuses_to_start(given: str, endpoint: str, said: str) -> None:
    """An address without the trace's place, of no browser's kind, or without any traces."""
    with pytest.raises(SettingsError, match=said):
        load(**COMPLETE, trace_url=given, otlp_endpoint=endpoint)


@pytest.mark.parametrize("missing", [k for k in COMPLETE if k != "secret_keys"])
def test_missing_credentials_refuse_to_start(missing: str) -> None:
    """A missing credential is named by its variable."""
    with pytest.raises(SettingsError, match=f"SENDCODE_{missing.upper()}"):
        load(**COMPLETE | {missing: ""})


@pytest.mark.parametrize(("lease", "read"), [(15, 8), (27, 8), (30, 15)])
def test_a_lease_outlives_the_provider_call(lease: int, read: int) -> None:
    """A lease that could end during a call, after the provider was asked under it, is refused."""
    with pytest.raises(SettingsError, match="LEASE_SECONDS must be at least"):
        load(**COMPLETE, lease_seconds=lease, connect_timeout=3, read_timeout=read)
    assert load(**COMPLETE, lease_seconds=28).longest_request == 14


def test_a_secret_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SENDCODE_X_FILE` gives X; both at once or an unreadable file is an error."""
    secret = tmp_path / "token"
    secret.write_text("from-file\n")
    monkeypatch.setenv("SENDCODE_AUTH_TOKEN_FILE", str(secret))
    values = {k: v for k, v in COMPLETE.items() if k != "auth_token"}
    assert load(**values).auth_token.get_secret_value() == "from-file"
    monkeypatch.setenv("SENDCODE_AUTH_TOKEN", "other")
    with pytest.raises(SettingsError, match="both set"):
        load(**values)
    monkeypatch.delenv("SENDCODE_AUTH_TOKEN")
    monkeypatch.setenv("SENDCODE_AUTH_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsError, match="cannot read"):
        load(**values)


def test_no_error_repeats_a_secret() -> None:
    """What a wrong secret was is not in the error."""
    with pytest.raises(SettingsError) as refused:
        load(**COMPLETE | {"secret_keys": "k1:c2VjcmV0LXZhbHVl"})
    assert "c2VjcmV0" not in str(refused.value)
    assert GOOD not in repr(load(**COMPLETE))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", "redis://:SECRET/x@127.0.0.1:6379/0"),
        ("broker_url", "SECRET"),
        ("broker_url", "redis://127.0.0.1:6379/SECRET"),
        ("broker_url", "amqp://SECRET@127.0.0.1/"),
        ("broker_url", "sentinel://127.0.0.1:26379/0"),  # without a master's name
        ("twilio_from", "SECRET"),
        ("twilio_account_sid", "ACSECRET"),
        ("twilio_messaging_service_sid", "SECRET"),
        ("senders", "SECRET"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_repeated(name: str, value: str) -> None:
    """A malformed address or sid stops the start with the setting's name, never its value."""
    with pytest.raises(SettingsError) as refusal:
        load(**{**COMPLETE, name: value})
    assert f"SENDCODE_{name.upper()}" in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


def test_sentinels_with_a_master_are_a_broker() -> None:
    """Several Sentinels and the name of what they watch are taken."""
    url = "sentinel://:pw@10.0.0.1:26379/0;sentinel://:pw@10.0.0.2:26379/0"
    assert load(**COMPLETE, broker_url=url, broker_master="codes").broker_master == "codes"


def test_senders_take_the_place_of_the_one() -> None:
    """A list of senders needs no `SENDCODE_TWILIO_*`, and both together are refused."""
    entry = SENDER | {"auth_token": "SECRET"}
    none = {name: "" for name in COMPLETE if name.startswith("twilio_")}
    settings = load(**{**COMPLETE, **none, "senders": json.dumps([entry])})
    assert [(s.name, s.number) for s in settings.all_senders()] == [("a", "+12025550100")]
    assert "SECRET" not in repr(settings)
    with pytest.raises(SettingsError, match="keep one"):
        load(**COMPLETE, senders=json.dumps([entry]))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"from": ""}, "needs `from`"),
        ({"from": "", "messaging_service_sid": "MG" + "1" * 32}, "calls need"),
        ({"channels": []}, "channels"),
        ({"channels": ["fax"]}, "channels"),
        ({"pace": 1}, "pace"),
        ({"per_second": -1}, "per_second"),
        ({"name": "A B"}, "name"),
    ],
)
def test_a_sender_that_cannot_send_is_refused(change: dict[str, object], complaint: str) -> None:
    """What is missing or misspelt in a sender is named, and no value of it."""
    entry = SENDER | {"auth_token": "SECRET"}
    with pytest.raises(ValueError, match=complaint) as refusal:
        read_senders(json.dumps([entry | change]))
    assert "SECRET" not in str(refusal.value)


def test_two_senders_of_one_name_are_refused() -> None:
    """Rows remember a sender by its name, so it must be one sender's."""
    entry = SENDER
    with pytest.raises(ValueError, match="twice"):
        read_senders(json.dumps([entry, entry]))


def test_a_password_is_masked_wherever_an_address_has_it() -> None:
    """Before the host and among the parameters behind it."""
    for shape in (
        "postgresql+psycopg://u:hunter2@h/d",
        "postgresql+psycopg://h/d?password=hunter2",
    ):
        shown = str(masked("database_url", shape))
        assert "hunter2" not in shown
        assert "h/d" in shown
