"""Drives the `twilio` SDK of any version; prints what came of each step as JSON. Runs in the SDK's
environment.
"""

import asyncio
import json
import sys
import urllib.parse
import urllib.request

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

given = json.load(sys.stdin)
seen = {}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def connected(**options):
    client = Client(given["account"], given["token"], **options)
    client.verify.base_url = given["url"]
    return client


def code(to, after=0):
    """The next message on the phone."""
    query = urllib.parse.urlencode({"to": to, "after": after, "timeout": 15})
    request = urllib.request.Request(f"{given['url']}/sandbox/v1/messages/wait?{query}")
    request.add_header("Authorization", given["authorization"])
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


def wrong(right):
    return f"{(int(right) + 1) % 10 ** len(right):0{len(right)}d}"


def fault(act):
    try:
        act()
    except TwilioRestException as error:
        return [error.status, error.code]
    return None


client = connected()
service = client.verify.v2.services(given["service"])
sms, call = given["numbers"][:2]

started = service.verifications.create(to=sms, channel="sms")
seen["start"] = [started.status, started.valid, started.to == sms, started.sid[:2]]
seen["fetch"] = [service.verifications(one).fetch().status for one in (started.sid, sms)]
heard = code(sms)
missed = service.verification_checks.create(to=sms, code=wrong(heard["code"]))
seen["wrong"] = [missed.status, missed.valid]
checked = service.verification_checks.create(to=sms, code=heard["code"])
seen["right"] = [checked.status, checked.valid, checked.sid == started.sid]
seen["again"] = fault(lambda: service.verification_checks.create(to=sms, code=heard["code"]))

started = service.verifications.create(to=call, channel="call")
heard = code(call)
seen["call"] = [started.channel, heard["channel"]]
ended = service.verifications(started.sid).update(status="canceled")
seen["cancel"] = [ended.status, fault(lambda: service.verifications(started.sid).fetch())]

made = {client.verify.v2.services.create(friendly_name="Page " + name).sid for name in "abc"}
listed = [one.sid for one in client.verify.v2.services.list(page_size=2)]
seen["pages"] = [made <= set(listed), len(listed) == len(set(listed)) > 2]
second = client.verify.v2.services.page(page_size=2).next_page()
seen["second"] = next(one.sid for one in second) in listed[2:3]

seen["bad_number"] = fault(lambda: service.verifications.create(to="+1", channel="sms"))
other = client.verify.v2.services("VA" + "0" * 32)
seen["no_service"] = fault(lambda: other.fetch())
stranger = Client(given["account"], "0" * 32)
stranger.verify.base_url = given["url"]
seen["stranger"] = fault(lambda: stranger.verify.v2.services(given["service"]).fetch())


async def waiting():
    """The same by the client that waits without a thread, where the version has one."""
    from twilio.http.async_http_client import AsyncTwilioHttpClient

    to = given["numbers"][2]
    async with AsyncTwilioHttpClient() as http:
        service = connected(http_client=http).verify.v2.services(given["service"])
        started = await service.verifications.create_async(to=to, channel="sms")
        heard = await asyncio.to_thread(code, to)
        checked = await service.verification_checks.create_async(to=to, code=heard["code"])
        listed = await connected(http_client=http).verify.v2.services.list_async(page_size=2)
        try:
            await service.verifications.create_async(to="+1", channel="sms")
        except TwilioRestException as error:
            return [started.status, checked.status, len(listed) > 2, error.status, error.code]
    return None


has_async = hasattr(service.verifications, "create_async")
seen["async"] = asyncio.run(waiting()) if has_async else None
json.dump(seen, sys.stdout)
