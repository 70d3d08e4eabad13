"""The bodies of Authy v1. A number in them is masked but where Authy repeats it to its caller."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from worker import phone
from worker.authy import AuthyApp, AuthyUser, Month
from worker.states import Channel, VerificationStatus
from worker.verifications import Verification

_DEVICE = (
    *("city", "country", "region", "ip", "os_type", "id", "registration_city"),
    *("registration_country", "registration_region", "registration_ip", "registration_method"),
    *("registration_date", "last_account_recovery_at"),
)
_SENT = {Channel.SMS: "SMS token was sent", Channel.CALL: "Call started..."}
_IGNORED = {
    Channel.SMS: "Ignored: SMS is not needed for smartphones. Pass force=true if you want to"
    " actually send it anyway.",
    # Two spaces are theirs.
    Channel.CALL: "Call ignored. User is using  App Tokens and this call is not necessary. Pass"
    " force=true if you still want to call users that are using the App.",
}
_STARTED = {Channel.SMS: "Text message sent to {}.", Channel.CALL: "Call to {} was initiated"}
_STATUSES = {VerificationStatus.PENDING: "pending", VerificationStatus.APPROVED: "verified"}
_TYPES = {"mobile": "cellphone", "landline": "landline", "voip": "voip"}


def dashed(digits: str) -> str:
    return "-".join(part for part in (digits[:3], digits[3:6], digits[6:]) if part)


def masked(e164: str) -> tuple[int, str]:
    """The calling code, and the rest as `XXX-XXX-XX67`."""
    code, rest = phone.split(e164)
    return code, dashed("X" * (len(rest) - 2) + rest[-2:])


def user_created(authy_id: int) -> dict[str, Any]:
    return {"message": "User created successfully.", "user": {"id": authy_id}, "success": True}


def user_status(user: AuthyUser, registered: bool) -> dict[str, Any]:
    code, number = masked(user.number)
    return {
        "status": {
            "authy_id": user.authy_id,
            "confirmed": user.confirmed,
            "registered": registered,
            "country_code": code,
            "phone_number": number,
            "devices": [],
            "has_hard_token": False,
            "account_disabled": user.disabled,
            "detailed_devices": [],
        },
        "message": "User status.",
        "success": True,
    }


def token_sent(user: AuthyUser, channel: Channel) -> dict[str, Any]:
    code, number = masked(user.number)
    return {"success": True, "message": _SENT[channel], "cellphone": f"+{code}-{number}"}


def token_ignored(user: AuthyUser, channel: Channel) -> dict[str, Any]:
    sent = token_sent(user, channel)
    return sent | {"message": _IGNORED[channel], "device": "generic", "ignored": True}


def token_valid() -> dict[str, Any]:
    """`success` is a string here, as with Authy. Of devices we know nothing."""
    return {
        "message": "Token is valid.",
        "token": "is valid",
        "success": "true",
        "device": dict.fromkeys(_DEVICE),
    }


def verification_started(found: Verification, custom_code: bool) -> dict[str, Any]:
    kind, name = phone.carrier(found.to)
    code, rest = phone.split(found.to)
    body = {
        "carrier": name,
        "is_cellphone": kind not in ("landline", "voip"),
        "message": _STARTED[found.channel].format(f"+{code} {dashed(rest)}"),
        "seconds_to_expire": max(0, found.expires_at - found.updated_at) // 1000,
        "uuid": uuid_of(found.sid),
        "success": True,
    }
    if custom_code and found.deliveries:
        body["sms_id"] = found.deliveries[-1].sid
    return body


def verification_status(found: Verification, now: int) -> dict[str, Any]:
    pending = found.status is VerificationStatus.PENDING
    return {
        "message": "Phone Verification status.",
        "status": _STATUSES.get(found.status, "expired"),
        "seconds_to_expire": max(0, found.expires_at - now) // 1000 if pending else 0,
        "success": True,
    }


def uuid_of(sid: str) -> str:
    """A verification's sid in Authy's spelling; `sid_of` undoes it."""
    h = sid[2:]
    return "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))


def sid_of(uuid: str) -> str:
    return f"VE{uuid.replace('-', '').lower()}"


def phone_info(e164: str) -> dict[str, Any]:
    kind, name = phone.carrier(e164)
    return {
        "message": f"Phone number information as of {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "type": _TYPES.get(kind or "", "unknown"),
        "provider": name or "Unknown",
        "ported": False,
        "success": True,
    }


def application(app: AuthyApp) -> dict[str, Any]:
    return {
        "app": {
            "name": app.name,
            "plan": "sendcode",
            "sms_enabled": True,
            "phone_calls_enabled": True,
            "app_id": app.number,
            "onetouch_enabled": False,
        },
        "message": "Application information.",
        "success": True,
    }


def statistics(app: AuthyApp, months: list[Month], users: int) -> dict[str, Any]:
    """`api_calls_count` is null: they are not counted."""
    return {
        "message": "Monthly statistics.",
        "count": len(months),
        "total_users": users,
        "app_id": app.number,
        "stats": [
            {
                "sms_count": one.sms,
                "calls_count": one.calls,
                "users_count": one.users,
                "auths_count": one.auths,
                "api_calls_count": None,
                "month": f"{datetime(one.year, one.month, 1):%B}",
                "year": one.year,
            }
            for one in months
        ],
        "success": True,
    }


def feedback(sms_id: str, outcome: str) -> dict[str, Any]:
    now = format_datetime(datetime.now(UTC))
    return {
        "account_sid": "",
        "message_sid": sms_id,
        "outcome": outcome,
        "date_created": now,
        "date_updated": now,
        "uri": "",
        "success": True,
    }
