"""The bodies of the answers for the OpenAPI document: each resource's keys, and no other."""

import re
from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_WORDS: dict[str, dict[str, Any]] = {
    "text": _TEXT,
    "flag": {"type": "boolean"},
    "number": {"type": "integer"},
    "date": {"type": "string", "format": "date-time"},
    "object": {"type": "object"},
    "texts": {"type": "array", "items": _TEXT},
    "objects": {"type": "array", "items": {"type": "object"}},
    "list": {"type": "array"},
    "none": {"type": "null"},
}


def _keys(text: str) -> dict[str, Any]:
    """An object of keys, each with one of the words above or the letters of a sid; `?` after
    it says that it may be null.
    """
    found = {}
    for pair in text.split():
        name, _, word = pair.partition(":")
        kind = _WORDS.get(word.rstrip("?")) or _sid(word.rstrip("?"))
        found[name] = kind | {"type": [kind["type"], "null"]} if word.endswith("?") else kind
    return {
        "type": "object",
        "required": list(found),
        "properties": found,
        "additionalProperties": False,
    }


def _sid(letters: str) -> dict[str, Any]:
    digits = "0-9a-fA-F" if letters == "MG" else "0-9a-f"  # Twilio's sid, kept as it was given
    return {"type": "string", "pattern": f"^{letters}[{digits}]{{32}}$"}


_DATES = "date_created:date date_updated:date"
_OWN = "account_sid:AC service_sid:VA"
_OWNER = f"{_OWN} entity_sid:YE identity:text"
_FACTOR = f"""sid:YF {_OWNER} {_DATES} friendly_name:text status:text factor_type:text
    config:object metadata:object? url:text"""
_KEY = """sid:SK account_sid:AC friendly_name:text scopes:texts date_created:date
    date_last_used:date? date_revoked:date? url:text"""
_HOOK = f"""sid:EH {_OWN} hook_url:text event_types:texts status:text failures:number {_DATES}
    url:text"""
_BACKUP = f"{_OWNER} remaining:number date_created:date url:text links:object"
SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["code", "message", "more_info", "status"],
        "properties": {
            "code": {"type": "integer", "minimum": 20001, "maximum": 69999},
            "message": {"type": "string", "minLength": 1},
            "more_info": {"type": "string", "format": "uri"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "details": {"type": "object"},
        },
        "additionalProperties": False,
    },
    "Meta": _keys(
        "page:number page_size:number first_page_url:text previous_page_url:text? url:text"
        " next_page_url:text? key:text"
    ),
    "Service": _keys(
        f"""sid:VA account_sid:AC friendly_name:text code_length:number lookup_enabled:flag
        psd2_enabled:flag skip_sms_to_landlines:flag dtmf_input_required:flag tts_name:text?
        do_not_share_warning_enabled:flag custom_code_enabled:flag push:object totp:object
        whatsapp:object passkeys:object default_template_sid:HJ?
        verify_event_subscription_enabled:flag {_DATES} url:text links:object"""
    ),
    "Verification": _keys(
        f"""sid:VE {_OWN} to:text channel:text status:text valid:flag {_DATES} lookup:object
        amount:text? payee:text? send_code_attempts:objects sna:none url:text"""
    ),
    "Check": _keys(
        f"""sid:VE {_OWN} to:text channel:text status:text valid:flag amount:text? payee:text?
        sna_attempts_error_codes:list {_DATES}"""
    ),
    "Entity": _keys(f"sid:YE identity:text {_OWN} {_DATES} url:text links:object"),
    "Factor": _keys(_FACTOR),
    "NewFactor": _keys(f"{_FACTOR} binding:object options:none"),
    "Challenge": _keys(
        f"""sid:YC {_OWNER} factor_sid:YF {_DATES} date_responded:date? expiration_date:date
        status:text responded_reason:text details:object? hidden_details:object? metadata:object?
        factor_type:text url:text links:object"""
    ),
    "BackupCodes": _keys(_BACKUP),
    "NewBackupCodes": _keys(f"{_BACKUP} codes:texts"),
    "BackupCheck": _keys(f"{_BACKUP} status:text valid:flag replacement_required:flag"),
    "ApiKey": _keys(_KEY),
    "NewApiKey": _keys(f"{_KEY} secret:text"),
    "Attempt": _keys(
        f"""sid:VL {_OWN} verification_sid:VE {_DATES} conversion_status:text channel:text
        price:object channel_data:object url:text"""
    ),
    "Summary": _keys(
        """total_attempts:number total_converted:number total_unconverted:number
        conversion_rate_percentage:text url:text"""
    ),
    "EventHook": _keys(_HOOK),
    "NewEventHook": _keys(f"{_HOOK} secret:text"),
    "MessagingConfiguration": _keys(
        f"{_OWN} country:text messaging_service_sid:MG {_DATES} url:text"
    ),
    "RateLimit": _keys(
        f"sid:RK {_OWN} unique_name:text description:text? {_DATES} url:text links:object"
    ),
    "Bucket": _keys(
        f"sid:BL rate_limit_sid:RK {_OWN} max:number interval:number {_DATES} url:text"
    ),
    "SafeNumber": _keys("sid:GN phone_number:text url:text"),
    "Template": _keys(
        "sid:HJ account_sid:AC friendly_name:text channels:texts translations:object"
    ),
    "Webhook": _keys(
        f"""sid:YW {_OWN} friendly_name:text event_types:texts status:text version:text
        webhook_url:text webhook_method:text {_DATES} url:text"""
    ),
    "Live": _keys("status:text"),
    "Ready": _keys("status:text checks:object open_circuits:texts quiet_workers:texts"),
    "BulkJob": {"type": "object", "required": ["sid", "verb", "state", "total"]},
    "Outcome": {
        "type": "object",
        "required": ["action", "target", "result", "before", "after"],
        "properties": {
            "action": _TEXT,
            "target": _TEXT,
            "result": {"enum": ["done", "unchanged", "would"]},
            "before": {"type": ["object", "null"]},
            "after": {"type": ["object", "null"]},
            "number": _TEXT,
            "link": _TEXT,
        },
        "additionalProperties": False,
    },
    "Pauses": _keys("pauses:objects"),
    "Blocks": _keys("blocks:objects"),
    "Prefixes": _keys("prefixes:objects codes:number few:number sealed:number at_least:flag"),
    "Budgets": _keys("budgets:objects"),
    "Jobs": _keys("jobs:objects"),
    "Audit": _keys("entries:objects"),
    "Operators": _keys("operators:objects"),
    "Sessions": _keys("sessions:objects"),
    "Workers": _keys("workers:objects"),
    "Hooks": _keys("hooks:objects"),
    "Queues": {
        "type": "object",
        "required": ["queues", "worker_silent_seconds"],
        "properties": {
            "queues": _WORDS["objects"],
            "worker_silent_seconds": {"type": ["number", "null"]},
        },
        "additionalProperties": False,
    },
    "Circuits": _keys("circuits:objects"),
    "Failures": _keys("groups:objects total:number looked_at:number at_least:flag"),
    "Requests": _keys("requests:objects next:text?"),
    "Timeline": {"type": "object", "required": ["sid", "status", "number", "deliveries"]},
    "Countries": _keys("countries:objects"),
}
ERROR = {"$ref": "#/components/schemas/Error"}

# By the end of a path: one resource, what a list calls it, and what making one answers with.
_RESOURCES = {
    "Services": ("Service", "services", "Service"),
    "Verifications": ("Verification", "", "Verification"),
    "VerificationCheck": ("Check", "", "Check"),
    "Entities": ("Entity", "entities", "Entity"),
    "Factors": ("Factor", "factors", "NewFactor"),
    "Challenges": ("Challenge", "challenges", "Challenge"),
    "BackupCodes": ("BackupCodes", "", "NewBackupCodes"),
    "Check": ("BackupCheck", "", "BackupCheck"),
    "ApiKeys": ("ApiKey", "api_keys", "NewApiKey"),
    "Attempts": ("Attempt", "attempts", ""),
    "Summary": ("Summary", "", ""),
    "EventHooks": ("EventHook", "event_hooks", "NewEventHook"),
    "MessagingConfigurations": (
        "MessagingConfiguration",
        "messaging_configurations",
        "MessagingConfiguration",
    ),
    "RateLimits": ("RateLimit", "rate_limits", "RateLimit"),
    "Buckets": ("Bucket", "buckets", "Bucket"),
    "Numbers": ("SafeNumber", "", "SafeNumber"),
    "Templates": ("Template", "templates", "Template"),
    "Webhooks": ("Webhook", "webhooks", "Webhook"),
    "livez": ("Live", "", ""),
    "readyz": ("Ready", "", ""),
    "pauses": ("Pauses", "", ""),
    "blocks": ("Blocks", "", ""),
    "prefixes": ("Prefixes", "", ""),
    "budgets": ("Budgets", "", ""),
    "bulk": ("BulkJob", "", "Outcome"),
    "audit": ("Audit", "", ""),
    "operators": ("Operators", "", ""),
    "sessions": ("Sessions", "", ""),
    "workers": ("Workers", "", ""),
    "webhooks": ("Hooks", "", ""),
    "queues": ("Queues", "", ""),
    "circuits": ("Circuits", "", ""),
    "failures": ("Failures", "", ""),
    "requests": ("Timeline", "", ""),
    "countries": ("Countries", "", ""),
}
# Lists whose own path ends as one resource's does.
_LISTS = {
    "/operator/v1/bulk": "Jobs",
    "/operator/v1/requests": "Requests",
    "/operator/v1/search": "Requests",
}
_PICTURE = re.compile(r"/QrCode\.(svg|png)")
_MEDIA = {"svg": "image/svg+xml", "png": "image/png"}


def body_of(path: str, method: str) -> dict[str, Any] | None:
    """The content of the answer that an operation gives where it succeeds; None without one."""
    if method == "delete":
        return None
    if picture := _PICTURE.search(path):
        return {_MEDIA[picture[1]]: {"schema": {}}}
    listed = _LISTS.get(path) if method == "get" or path == "/operator/v1/search" else None
    if listed:
        return _content({"$ref": f"#/components/schemas/{listed}"})
    if path.startswith("/operator/") and method == "post":
        return _content({"$ref": "#/components/schemas/Outcome"})
    *_, before, last = path.split("/")
    by_name = last.startswith("{")
    one, listed, made = _RESOURCES[before if by_name else last]
    if not by_name and method == "post":
        return _content({"$ref": f"#/components/schemas/{made}"})
    if not by_name and listed:
        return _content(_page(one, listed))
    return _content({"$ref": f"#/components/schemas/{one}"})


def _page(one: str, listed: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{one}"}}
    return {
        "type": "object",
        "required": [listed, "meta"],
        "properties": {listed: items, "meta": {"$ref": "#/components/schemas/Meta"}},
        "additionalProperties": False,
    }


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
