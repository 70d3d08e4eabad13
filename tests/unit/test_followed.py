"""What the long fuzz counts as a link that was followed, and what it sends on its walks."""

import pytest

from tests.fuzz.links import Followed
from tests.fuzz.realistic import Realistic
from tests.unit.test_links import DOCUMENT, LINKS, PATHS

SERVICES, START = "/v2/Services", "/v2/Services/{service_sid}/Verifications"
CHECK = "/v2/Services/{service_sid}/VerificationCheck"
VA, VE = "VA" + "1" * 32, "VE" + "2" * 32


def test_the_links_are_those_of_the_document() -> None:
    """None is left out of the count."""
    assert Followed(DOCUMENT).all == len(LINKS)


@pytest.mark.parametrize(("sid", "followed"), [(VA, 1), ("VA" + "3" * 32, 0)])
def test_a_link_is_followed_where_its_value_comes_from_an_answer(sid: str, followed: int) -> None:
    """The same operation with a name from elsewhere follows no link."""
    found = Followed(DOCUMENT)
    found.note(("post", SERVICES), {}, {"FriendlyName": "Mine"}, {"sid": VA})
    found.note(("get", f"{SERVICES}/{{sid}}"), {"sid": sid}, None, {"sid": sid})
    assert len(found.links) == followed


@pytest.mark.parametrize(("sid", "followed"), [(VE, 1), ("VE" + "3" * 32, 0)])
def test_a_link_by_a_body_is_followed_with_all_of_its_values(sid: str, followed: int) -> None:
    """A check by another verification's sid is none, though the service is the same."""
    found = Followed(DOCUMENT)
    found.note(("post", START), {"service_sid": VA}, {}, {"sid": VE, "send_code_attempts": []})
    found.note(("post", CHECK), {"service_sid": VA}, {"VerificationSid": sid}, {"sid": VE})
    assert len(found.links) == followed


def test_a_walk_sends_the_example_with_what_a_link_gave() -> None:
    """Of what was drawn stays what an answer named; the rest is the document's, the number new."""
    walk = Realistic()
    walk.remember({"sid": VE, "send_code_attempts": [{"attempt_sid": "VL" + "4" * 32}]})
    drawn = {"VerificationSid": VE, "Code": "0000", "Payee": "drawn"}
    body = walk.body(PATHS[CHECK]["post"], {}, drawn)
    assert body == {"VerificationSid": VE, "Code": "123456"}
    starts = [walk.body(PATHS[START]["post"], {}, {"To": "drawn"}) for _ in range(2)]
    assert {start["Channel"] for start in starts} == {"sms"}
    assert len({start["To"] for start in starts}) == 2
    assert walk.body(PATHS[START]["post"], {}, {"To": "drawn"}) == {"To": "drawn"}
