"""The bodies of entities, factors and challenges: Twilio's keys and no other. Those of backup codes
are ours.
"""

from typing import Any

from api_stub.verify_v2.shapes import date
from worker.factors import BackupCodes, Challenge, Enrolment, Entity, Factor


def entity_url(found: Entity, base_url: str) -> str:
    return f"{base_url}/v2/Services/{found.service_sid}/Entities/{found.identity}"


def entity(found: Entity, base_url: str) -> dict[str, Any]:
    url = entity_url(found, base_url)
    return {
        "sid": found.sid,
        "identity": found.identity,
        "account_sid": found.account_sid,
        "service_sid": found.service_sid,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "url": url,
        "links": {
            "factors": f"{url}/Factors",
            "new_factors": f"{url}/Factors",
            "challenges": f"{url}/Challenges",
        },
    }


def _owner(found: Entity) -> dict[str, Any]:
    return {
        "account_sid": found.account_sid,
        "service_sid": found.service_sid,
        "entity_sid": found.sid,
        "identity": found.identity,
    }


def factor(found: Factor, base_url: str) -> dict[str, Any]:
    return {
        "sid": found.sid,
        **_owner(found.entity),
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "friendly_name": found.friendly_name,
        "status": found.status,
        "factor_type": "totp",
        "config": {
            "alg": found.config.algorithm,
            "skew": found.config.skew,
            "code_length": found.config.digits,
            "time_step": found.config.period,
        },
        "metadata": found.metadata,
        "url": f"{entity_url(found.entity, base_url)}/Factors/{found.sid}",
    }


def new_factor(made: Enrolment, base_url: str) -> dict[str, Any]:
    """The one body with the secret in it."""
    binding = {"secret": made.secret, "uri": made.uri}
    return {**factor(made.factor, base_url), "binding": binding, "options": None}


def challenge(found: Challenge, base_url: str) -> dict[str, Any]:
    url = f"{entity_url(found.entity, base_url)}/Challenges/{found.sid}"
    answered = found.responded_at
    return {
        "sid": found.sid,
        **_owner(found.entity),
        "factor_sid": found.factor_sid,
        "date_created": date(found.created_at),
        "date_updated": date(found.updated_at),
        "date_responded": None if answered is None else date(answered),
        "expiration_date": date(found.expires_at),
        "status": found.status,
        "responded_reason": "none",
        "details": found.details and {**found.details, "date": date(found.created_at)},
        "hidden_details": found.hidden_details,
        "metadata": found.metadata,
        "factor_type": "totp",
        "url": url,
        "links": {"notifications": f"{url}/Notifications"},
    }


def backup_codes(found: BackupCodes, base_url: str) -> dict[str, Any]:
    url = f"{entity_url(found.entity, base_url)}/BackupCodes"
    return {
        **_owner(found.entity),
        "remaining": found.remaining,
        "date_created": date(found.created_at),
        "url": url,
        "links": {"check": f"{url}/Check"},
    }


def new_backup_codes(made: BackupCodes, base_url: str) -> dict[str, Any]:
    """The one body with the codes in it."""
    return {**backup_codes(made, base_url), "codes": list(made.codes)}


def backup_check(found: BackupCodes, base_url: str) -> dict[str, Any]:
    """
    `replacement_required`: no code is left, so new ones are due (NIST SP 800-63B-4 4.2.1.1)
    """
    return {
        **backup_codes(found, base_url),
        "status": "approved" if found.accepted else "pending",
        "valid": bool(found.accepted),
        "replacement_required": found.remaining == 0,
    }
