"""Drives the `authy` SDK; prints what came of each step as JSON. Runs in the SDK's environment."""

import json
import sys
import urllib.parse
import urllib.request

from authy.api import AuthyApiClient

given = json.load(sys.stdin)
seen = {}
client = AuthyApiClient(given["key"], given["url"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def code(after):
    """The next message on the phone."""
    query = urllib.parse.urlencode({"to": given["to"], "after": after, "timeout": 15})
    request = urllib.request.Request(f"{given['url']}/sandbox/v1/messages/wait?{query}")
    request.add_header("Authorization", given["authorization"])
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


def wrong(right):
    return f"{(int(right) + 1) % 10 ** len(right):0{len(right)}d}"


def fault(answer):
    return [answer.response.status_code, answer.content["error_code"], answer.errors()["message"]]


phone, country = given["to"][2:], 1
user = client.users.create("ann@example.com", f"{phone[:3]}-{phone[3:6]}-{phone[6:]}", country)
again = client.users.create("ann@example.com", phone, country)
seen["create"] = [user.ok(), user.content["message"], user.id == again.id > 0]
seen["bad_user"] = client.users.create("ann", "123", country).errors()

sms = client.users.request_sms(user.id)
seen["sms"] = [sms.ok(), sms.ignored(), sms.content["message"], sms.content["cellphone"]]
heard = code(0)
missed = client.tokens.verify(user.id, wrong(heard["code"]))
seen["wrong"] = [missed.ok(), *fault(missed)]
right = client.tokens.verify(user.id, heard["code"])
seen["right"] = [right.ok(), right.content["message"], right.content["success"]]
reused = client.tokens.verify(user.id, heard["code"])
seen["reused"] = [reused.ok(), *fault(reused)]

call = client.users.request_call(user.id, {"force": True})
seen["call"] = [call.ok(), call.ignored(), call.content["message"]]
heard = code(heard["id"])
seen["heard"] = [heard["channel"], client.tokens.verify(user.id, heard["code"]).ok()]

status = client.users.status(user.id)
seen["status"] = [status.ok(), status.content["message"], status.content["status"]["confirmed"]]
picture = client.users.generate_qr(user.id, size=300, label="Ann")
seen["qr"] = [picture.ok(), picture.content["label"], picture.content["qr_code"][:22]]

started = client.phones.verification_start(phone, country, via="sms", code_length=5)
seen["start"] = [started.ok(), started.content["message"] == given["started"]]
heard = code(heard["id"])
seen["length"] = len(heard["code"])
missed = client.phones.verification_check(phone, country, wrong(heard["code"]))
seen["check_wrong"] = [missed.ok(), *fault(missed)]
checked = client.phones.verification_check(phone, country, heard["code"])
seen["check"] = [checked.ok(), checked.content["message"]]
seen["check_none"] = fault(client.phones.verification_check(phone, country, heard["code"]))[:2]

info = client.phones.info(phone, country)
seen["info"] = [info.ok(), info.content["message"][:31]]
seen["app"] = client.apps.fetch().content["message"]
seen["stats"] = client.stats.fetch().content["message"]
seen["push"] = client.one_touch.send_request(user.id, "Hello").response.status_code

removed = client.users.delete(user.id)
seen["delete"] = [removed.ok(), removed.content["message"]]
seen["gone"] = fault(client.users.status(user.id))
seen["stranger"] = fault(AuthyApiClient("0" * 64, given["url"]).users.status(user.id))
json.dump(seen, sys.stdout)
