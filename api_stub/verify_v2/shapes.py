"""The bodies of Twilio Verify v2: every key of the published examples, and no other."""

from datetime import UTC, datetime
from typing import Any

from worker.phone import carrier
from worker.services import Service
from worker.states import Channel, VerificationStatus
from worker.verifications import Verification


def date(ms: int) -> str:
    """ISO 8601 in whole seconds: the SDKs parse exactly this."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}Z"


def service(found: Service, base_url: str) -> dict[str, Any]:
    url = f"{base_url}/v2/Services/{found.sid}"
    kept = found.twilio_only
    return {
        "sid": found.sid,
        "account_sid": found.account_sid,
        "friendly_name": found.friendly_name,
        "code_length": found.code_length,
        "lookup_enabled": kept.get("lookup_enabled", False),
        "psd2_enabled": kept.get("psd2_enabled", False),
        "skip_sms_to_landlines": kept.get("skip_sms_to_landlines", False),
        "dtmf_input_required": found.press_key,
        "tts_name": found.spoken_name,
        "do_not_share_warning_enabled": found.do_not_share,
        "custom_code_enabled": kept.get("custom_code_enabled", False),
        "push": {"include_date": False, "apn_credential_sid": None, "fcm_credential_sid": None},
        "totp": {
            "issuer": kept.get("totp_issuer") or found.friendly_name,
            "time_step": kept.get("totp_time_step", 30),
            "code_length": kept.get("totp_code_length", 6),
            "skew": kept.get("totp_skew", 1),
        },
        "whatsapp": {"msg_service_sid": None, "from": None},
        "passkeys": {
            "relying_party": {"id": None, "name": None, "origins": None},
            "authenticator_attachment": None,
            "discoverable_credentials": None,
            "user_verification": None,
        },
        "default_template_sid": found.default_template_sid,
        "verify_event_subscription_enabled": False,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": url,
        "links": {
            "verification_checks": f"{url}/VerificationCheck",
            "verifications": f"{url}/Verifications",
            "rate_limits": f"{url}/RateLimits",
            "messaging_configurations": f"{url}/MessagingConfigurations",
            "entities": f"{url}/Entities",
            "webhooks": f"{url}/Webhooks",
            "access_tokens": f"{url}/AccessTokens",
        },
    }


def verification(found: Verification, base_url: str) -> dict[str, Any]:
    return {
        "sid": found.sid,
        "service_sid": found.service_sid,
        "account_sid": found.account_sid,
        "to": found.to,
        "channel": found.channel.value,
        "status": found.status.value,
        "valid": found.status is VerificationStatus.APPROVED,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "lookup": _lookup(found.to) if found.lookup else {},
        "amount": found.payment and found.payment.amount,
        "payee": found.payment and found.payment.payee,
        "send_code_attempts": [
            {
                "time": date(delivery.created_at),
                "channel": "SMS" if delivery.channel is Channel.SMS else "CALL",
                "attempt_sid": delivery.sid,
            }
            for delivery in found.deliveries
        ],
        "sna": None,
        "url": f"{base_url}/v2/Services/{found.service_sid}/Verifications/{found.sid}",
    }


def _lookup(to: str) -> dict[str, Any]:
    kind, name = carrier(to)
    return {
        "carrier": {
            "mobile_country_code": None,
            "type": kind,
            "error_code": None,
            "mobile_network_code": None,
            "name": name,
        }
    }


def check(found: Verification) -> dict[str, Any]:
    approved = found.status is VerificationStatus.APPROVED
    return {
        "sid": found.sid,
        "service_sid": found.service_sid,
        "account_sid": found.account_sid,
        "to": found.to,
        "channel": found.channel.value,
        # Twilio answers the last wrong guess like the ones before it; the next gets 60202.
        "status": "approved" if approved else "pending",
        "valid": approved,
        "amount": found.payment and found.payment.amount,
        "payee": found.payment and found.payment.payee,
        "sna_attempts_error_codes": [],
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
    }
