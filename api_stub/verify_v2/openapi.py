"""Request bodies for the OpenAPI document: the parameters are read by hand, to refuse in
Twilio's words.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api_stub.verify_v2.examples import example
from worker.factor_webhooks import EVENTS, STATUSES, VERSIONS
from worker.factors.words import CHALLENGE_STATUSES
from worker.outbox import Event
from worker.ratelimits import MOST, SECONDS

SERVICE_SID = r"^VA[0-9a-f]{32}$"
# No NUL, which no database holds.
TEXT: dict[str, Any] = {"type": "string", "maxLength": 4096, "pattern": "^[^\\x00]*$"}
_E164 = r"^\+[1-9][0-9]{6,14}$"
_TO: dict[str, Any] = {
    "type": "string",
    "pattern": _E164,
    "description": "E.164; other international spellings are taken too",
}
_FLAG: dict[str, Any] = {"type": "boolean"}


def _ignored(*names: str) -> dict[str, Any]:
    """Parameters of Twilio's that are taken, so that its SDKs may send them, and change nothing."""
    return {name: {"description": "ignored"} for name in names}


def _number(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


SERVICE: dict[str, Any] = {
    "FriendlyName": {"type": "string", "maxLength": 30, "description": "the brand in the texts"},
    "CodeLength": _number(4, 10),
    "DtmfInputRequired": _FLAG | {"description": "a call asks for a key before it reads the code"},
    "TtsName": TEXT | {"description": "how a call says the name"},
    "DoNotShareWarningEnabled": _FLAG,
    "CustomCodeEnabled": _FLAG,
    "LookupEnabled": _FLAG,
    "SkipSmsToLandlines": _FLAG,
    "Psd2Enabled": _FLAG,
    "Totp.Issuer": TEXT,
    "Totp.TimeStep": _number(20, 60),
    "Totp.CodeLength": _number(3, 8),
    "Totp.Skew": _number(0, 2),
    "DefaultTemplateSid": {"type": "string", "pattern": "^HJ[0-9a-f]{32}$"},
    "CodeLife": _number(60, 86_400) | {"description": "seconds; ours, not Twilio's"},
    "SendLimit": _number(1, 10_000)
    | {"description": "sends to a number; empty: as the settings say; ours"},
    "CheckLimit": _number(1, 10)
    | {"description": "guesses per verification; empty: as the settings say; ours"},
    "Fallback": TEXT
    | {"description": "what follows a text that does not arrive, such as `call:30`; ours"},
    "WebOrigin": TEXT | {"description": "host of the origin-bound last line; ours"},
    **_ignored(
        *("Push.IncludeDate", "Push.ApnCredentialSid", "Push.FcmCredentialSid"),
        *("Whatsapp.MsgServiceSid", "Whatsapp.From", "VerifyEventSubscriptionEnabled"),
        *("Passkeys.RelyingParty.Id", "Passkeys.RelyingParty.Name"),
        *("Passkeys.RelyingParty.Origins", "Passkeys.AuthenticatorAttachment"),
        *("Passkeys.DiscoverableCredentials", "Passkeys.UserVerification"),
    ),
}
START: dict[str, Any] = {
    "To": _TO,
    "Channel": {"type": "string", "enum": ["sms", "call"]},
    "Locale": TEXT,
    "CustomFriendlyName": {"type": "string", "maxLength": 30},
    "AppHash": {"type": "string", "pattern": "^[A-Za-z0-9+/]{11}$"},
    "CustomCode": {"type": "string", "pattern": "^[0-9]{4,10}$"},
    "Amount": {"type": "string", "maxLength": 20},
    "Payee": {"type": "string", "maxLength": 40},
    "RateLimits": TEXT | {"description": 'JSON object of strings, `{"end_user_ip": "…"}`'},
    "SendDigits": {"type": "string", "pattern": "^[0-9#*wW]{1,32}$"},
    "TemplateSid": {"type": "string", "pattern": "^HJ[0-9a-f]{32}$"},
    "TemplateCustomSubstitutions": TEXT | {"description": "a JSON object without names"},
    **_ignored("RiskCheck", "Tags", "DeviceIp", "ChannelConfiguration", "EnableSnaClientToken"),
}
MESSAGING_CONFIGURATION: dict[str, Any] = {
    "Country": {
        "type": "string",
        "pattern": "^([A-Za-z]{2}|all)$",
        "description": "ISO 3166 code of two letters, or all",
    },
    "MessagingServiceSid": {"type": "string", "pattern": "^MG[0-9a-fA-F]{32}$"},
}
WEBHOOK: dict[str, Any] = {
    "FriendlyName": {"type": "string", "maxLength": 64},
    "EventTypes": {"type": "array", "items": {"type": "string", "enum": list(EVENTS)}},
    "WebhookUrl": {"type": "string", "format": "uri"},
    "Status": {"type": "string", "enum": list(STATUSES)},
    "Version": {"type": "string", "enum": list(VERSIONS)},
}
SAFE_NUMBER: dict[str, Any] = {"PhoneNumber": _TO}
TEMPLATE: dict[str, Any] = {
    "FriendlyName": {"type": "string", "maxLength": 64},
    "Locale": TEXT | {"description": "of the text; en where it is not given"},
    "Text": {"type": "string", "maxLength": 160, "description": "holds {{code}} once"},
}
TEMPLATE_TEXT: dict[str, Any] = {"Locale": TEMPLATE["Locale"], "Text": TEMPLATE["Text"]}
SUMMARIZED: dict[str, Any] = {
    "DateCreatedAfter": {"type": "string", "format": "date-time"},
    "DateCreatedBefore": {"type": "string", "format": "date-time"},
    "Country": {"type": "string", "pattern": "^[A-Za-z]{2}$"},
    "Channel": {"type": "string", "enum": ["sms", "call", "email", "whatsapp", "rbm"]},
    "VerifyServiceSid": {"type": "string", "pattern": SERVICE_SID},
}
LISTED: dict[str, Any] = {
    **SUMMARIZED,
    "ChannelData.To": TEXT,
    "VerificationSid": {"type": "string", "pattern": "^VE[0-9a-f]{32}$"},
    "Status": {"type": "string", "enum": ["converted", "unconverted"]},
}
RATE_LIMIT: dict[str, Any] = {
    "UniqueName": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    "Description": {"type": "string", "maxLength": 255},
}
BUCKET: dict[str, Any] = {
    "Max": _number(MOST[0], MOST[-1]),
    "Interval": _number(SECONDS[0], SECONDS[-1]) | {"description": "seconds"},
}
HOOK: dict[str, Any] = {
    "Url": {"type": "string", "format": "uri"},
    "EventTypes": {"type": "array", "items": {"type": "string", "enum": ["*", *Event]}},
    "Status": {"type": "string", "enum": list(STATUSES)},
}
API_KEY: dict[str, Any] = {
    "FriendlyName": {"type": "string", "maxLength": 64},
    "Scopes": TEXT | {"description": "some of start, check, read, admin, comma-separated"},
}
STATUS: dict[str, Any] = {"Status": {"type": "string", "enum": ["canceled", "approved"]}}
CHECK: dict[str, Any] = {
    "Code": {"type": "string", "pattern": "^[0-9]{4,10}$"},
    "To": _TO,
    "VerificationSid": {"type": "string", "pattern": "^VE[0-9a-f]{32}$"},
    "Amount": {"type": "string", "maxLength": 20},
    "Payee": {"type": "string", "maxLength": 40},
    **_ignored("SnaClientToken"),
}

_CODE: dict[str, Any] = {"type": "string", "pattern": "^[0-9]{3,8}$"}
_STRINGS: dict[str, Any] = {"type": "string", "maxLength": 1024, "description": "JSON, of strings"}
IDENTITY = "^[A-Za-z0-9-]{8,64}$"
ENTITY: dict[str, Any] = {"Identity": {"type": "string", "pattern": IDENTITY}}
_PUSH = ("Config.SdkVersion", "Config.NotificationPlatform", "Config.NotificationToken")
FACTOR_CHANGE: dict[str, Any] = {
    "AuthPayload": _CODE | {"description": "the app's code, which verifies the factor"},
    "FriendlyName": {"type": "string", "maxLength": 64, "description": "the account in the app"},
    "Config.Alg": {"type": "string", "enum": ["sha1", "sha256", "sha512"]},
    "Config.TimeStep": _number(20, 60),
    "Config.CodeLength": _number(3, 8),
    "Config.Skew": _number(0, 2),
    **_ignored(*_PUSH),
}
FACTOR: dict[str, Any] = {
    "FactorType": {"type": "string", "enum": ["totp"]},
    **{name: value for name, value in FACTOR_CHANGE.items() if name != "AuthPayload"},
    "Binding.Secret": TEXT | {"description": "Base32; one is made where it is absent"},
    "Metadata": _STRINGS,
    **_ignored("Binding.Alg", "Binding.PublicKey", "Config.AppId"),
}
CHALLENGE: dict[str, Any] = {
    "FactorSid": {"type": "string", "pattern": "^YF[0-9a-f]{32}$"},
    "AuthPayload": _CODE,
    "ExpirationDate": {"type": "string", "format": "date-time"},
    "Details.Message": {"type": "string", "maxLength": 256},
    "Details.Fields": {"type": "array", "items": TEXT},
    "HiddenDetails": _STRINGS,
}
CHALLENGES: dict[str, Any] = {
    "FactorSid": CHALLENGE["FactorSid"],
    "Status": {"type": "string", "enum": list(CHALLENGE_STATUSES)},
    "Order": {"type": "string", "enum": ["asc", "desc"]},
}
ANSWER: dict[str, Any] = {"AuthPayload": _CODE, "Metadata": _STRINGS}
BACKUP_CHECK: dict[str, Any] = {"Code": TEXT | {"examples": ["ABCD-EFGH-JKLM-NPQR"]}}


def form(
    properties: Mapping[str, Any],
    required: Sequence[str] = (),
    *,
    one_of_these: Sequence[str] = (),
) -> dict[str, Any]:
    """A request body of these parameters, as a form or as JSON. One of another name is refused.

    :param one_of_these: at least one of these has to be there
    """
    rest: dict[str, Any] = {"additionalProperties": False}
    if required:
        rest["required"] = list(required)
    if one_of_these:
        rest["anyOf"] = [{"required": [name]} for name in one_of_these]
    filled = {*required, *one_of_these}

    def schema(null: bool) -> dict[str, Any]:
        shown = {
            name: filled_in(found) if name in filled else may_be_empty(found, null)
            for name, found in properties.items()
        }
        return {
            "schema": {"type": "object", "properties": shown, **rest},
            "example": example(properties, [*one_of_these[:1], *required]),
        }

    kinds = {"application/x-www-form-urlencoded": schema(False), "application/json": schema(True)}
    return {"requestBody": {"required": bool(required), "content": kinds}}


def filled_in(found: Mapping[str, Any]) -> dict[str, Any]:
    """An empty value is an absent one, so a required one is not empty."""
    least = {"array": "minItems", "string": "minLength"}.get(found["type"])
    return {**found, **({least: 1} if least else {})}


def may_be_empty(found: Mapping[str, Any], null: bool = True) -> dict[str, Any]:
    """An empty value is an absent one, and so is a JSON null."""
    able = dict(found)
    if "type" not in found:
        return able
    if "pattern" in able:
        able["pattern"] = f"^({found['pattern'].removeprefix('^').removesuffix('$')})?$"
    if "format" in able:
        able["anyOf"] = [{"format": able.pop("format")}, {"maxLength": 0}]
    if "enum" in able:
        able["enum"] = [*found["enum"], ""]
    kinds = [found["type"]]
    if found["type"] in ("integer", "boolean"):
        kinds.append("string")
        able["maxLength"] = 0
    if null:
        kinds.append("null")
        if "enum" in able:
            able["enum"].append(None)
        if "anyOf" in able:
            able["anyOf"].append({"type": "null"})
    able["type"] = kinds if len(kinds) > 1 else found["type"]
    return able


def listing(filters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The query of a list: its page, and what it may be filtered by."""
    paging = {"PageSize": _number(1, 1000), "Page": _number(0, 999_999_999)}
    return asking(
        {
            **paging,
            "PageToken": {"type": "string", "pattern": "^P[AB][0-9A-Za-z]{1,64}$"},
            **(filters or {}),
        }
    )


def asking(found: Mapping[str, Any]) -> dict[str, Any]:
    """A query of these parameters."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "schema": may_be_empty(schema, null=False),
            }
            for name, schema in found.items()
        ]
    }
