"""The pages in a real browser: an operator's shift, every page without JavaScript, and what keeps
people from using a page (axe-core), light, dark and narrow.
"""

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import plausible
from tests.acceptance import commands
from tests.acceptance.console import new_link
from tests.acceptance.running import Up, until
from tests.acceptance.sdks.environments import EnvironmentMissingError, axe
from tests.browser import MISSING, NARROW, PASSWORD, WIDE, chromium, complaints, enrolled, program
from tests.servers import missing, must_have_broker

expect.set_options(timeout=20_000)
pytestmark = pytest.mark.timeout(300)  # the stack of its own is started once

GHANA = [f"+23324123{n:04}" for n in range(4600, 4603)]
UGANDA = [f"+2567123456{n:02}" for n in range(10, 14)]
STRICT = {"resultTypes": ["violations"]}
COLOURS = STRICT | {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
FOUND = """options => axe.run(document, options).then(found => found.violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => one.id + ": " + one.nodes.map(node => node.target + " " + node.failureSummary)))"""

# What makes a page wider than its window, once it has had 60 frames to fit in.
TOO_WIDE = """() => new Promise(done => {
    const fits = () => document.documentElement.scrollWidth <= innerWidth;
    const culprits = () => [...document.querySelectorAll("main *, header *")]
        .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest(".wide, nav"))
        .map(one => one.tagName + " " + one.className);
    let left = 60;
    (function look() {
        if (fits()) done([]);
        else if (left--) requestAnimationFrame(look);
        else done(["too wide", ...culprits()]);
    })();
})"""
STREAM = "**/console/live"
# Chromium without a window hides no tab by itself.
HIDING = """window.hide = hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
COUNTED = """addEventListener("click", event => {
    if (event.isTrusted) sessionStorage.clicks = Number(sessionStorage.clicks || 0) + 1;
}, true)"""


@pytest.fixture(scope="module")
def evening(folder: Path) -> Iterator[Up]:
    """A stack of its own, with what the pages are to show."""
    if program() is None:
        missing(MISSING)
    must_have_broker()
    running = Up(Path(tempfile.mkdtemp(dir=folder)), SENDCODE_PRICES=plausible.PRICES)
    try:
        running.start()
        plausible.evening(running)
        yield running
        running.stop()
    finally:
        running.kill()
        running.close()


@pytest.fixture(scope="module")
def browser(evening: Up) -> Iterator[Browser]:
    with chromium() as one:
        yield one


class SignedIn:
    """The state of a browser in which an operator signed in by password and second factor."""

    def __init__(self, browser: Browser, up: Up) -> None:
        context = browser.new_context(base_url=up.url, viewport=WIDE)
        page = context.new_page()
        self.heard = complaints(page)
        secret = enrolled(page, new_link(up))
        page.goto("/console/account")
        name = page.locator("h1").inner_text().partition(",")[0]
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Code of your").fill(pyotp.TOTP(secret).at(int(time.time()) + 30))
        page.get_by_role("button", name="Sign in").click()
        self.arrived = page.get_by_role("heading", name="Oldest waiting code").is_visible()
        page.get_by_role("link", name="Sandbox phone").click()
        self.phone = page.get_by_role("heading", name="Phones").is_visible()
        self.state = context.storage_state()
        context.close()


@pytest.fixture(scope="module")
def operator(browser: Browser, evening: Up) -> SignedIn:
    return SignedIn(browser, evening)


@pytest.fixture
def context(browser: Browser, evening: Up, operator: SignedIn) -> Iterator[BrowserContext]:
    """A window of the operator's, that complains of nothing."""
    one = browser.new_context(base_url=evening.url, viewport=WIDE, storage_state=operator.state)
    yield one
    one.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    one = context.new_page()
    heard = complaints(one)
    yield one
    assert heard == []


def pages_of(up: Up) -> list[str]:
    """The address of every page, with something on it."""
    sid = up.rows("SELECT verification_sid AS sid FROM deliveries WHERE state = 'failed'")[0]["sid"]
    (job, *_) = up.rows("SELECT sid FROM bulk_jobs")
    console = (
        *("/", "/queues", "/failures", "/requests?since=24h", f"/requests/{sid}", "/countries"),
        *("/senders", "/workers", "/limits", "/blocks", "/audit", "/bulk", f"/bulk/{job['sid']}"),
        *("/settings", "/operators", "/account", "/act/pause?kind=country&name=KE", "/act/block"),
        *("/failures/group?code=21408&channel=sms&country=KE&since=1h", "/countries/prefixes"),
    )
    return [*(f"/console{path}" for path in console), f"/sandbox/phone?to=%2B{plausible.PHONE[1:]}"]


def failing(up: Up, numbers: list[str], code: int) -> None:
    """Codes to a country fail."""
    up.fault(f"{numbers[0][:4]}*", fail="reject", code=code)
    started = [up.start_code(to) for to in numbers]
    until(lambda: all(plausible.state_of(up, one) == "failed" for one in started), about="failures")


def follow(page: Page, path: str, words: str) -> None:
    """Open a page until it has a link with these words, and follow that."""
    line = page.get_by_role("link", name=re.compile(words))
    until(lambda: page.goto(path) and line.count(), about=words)
    line.first.click()


def confirm(page: Page, button: str, why: str) -> None:
    page.get_by_label("Why").fill(why)
    page.get_by_role("button", name=button).click()


def test_the_second_factor_opens_the_console(operator: SignedIn) -> None:
    """By link an operator sets password and app up; with both the overview and the phone open."""
    assert (operator.arrived, operator.phone, operator.heard) == (True, True, [])


def test_within_three_clicks_from_the_overview_to_the_stop(evening: Up, page: Page) -> None:
    """Codes to one country fail: the first click tells why, two more stop sending there, and then
    a start is refused. What a browser sends is counted: three clicks, no more.
    """
    failing(evening, UGANDA, 21408)
    page.context.add_init_script(COUNTED)
    follow(page, "/console/", "to Uganda failed by sms")
    expect(page.locator("main")).to_contain_text("messages to this country are not enabled")
    expect(page.locator("main")).to_contain_text("enable the country there")
    page.get_by_role("link", name=re.compile("Stop sending to Uganda")).click()
    confirm(page, "Stop sending", "not enabled at the provider")
    expect(page.locator(".banner, [data-part=banner]").first).to_contain_text("country Uganda")
    assert page.evaluate("Number(sessionStorage.clicks)") == 3
    form = {"To": UGANDA[0][:-1] + "9", "Channel": "sms"}
    path = f"{evening.path()}/Verifications"
    until(lambda: not evening.http.post(path, data=form).is_success, about="a refusal")


def test_an_operators_shift(evening: Up, page: Page) -> None:
    """A sender that fails is seen and paused, its failures are understood and all sent again, and
    once it is resumed the codes reach their phones.
    """
    failing(evening, GHANA, 21612)
    page.goto("/console/senders")
    row = page.get_by_role("row", name=re.compile("main call"))
    expect(row).to_contain_text("open")
    row.get_by_role("link", name="Pause main, call").click()
    confirm(page, "Stop sending", "it fails")
    follow(page, "/console/failures?since=1h", "21612 by sms to Ghana")
    expect(page.locator("main")).to_contain_text("no SMS route from our sender to the number")
    expect(page.locator("main")).to_contain_text("a sender that may reach it")
    evening.http.delete("/sandbox/v1/faults", params={"to": f"{GHANA[0][:4]}*"})
    page.get_by_role("link", name=re.compile("Send these again")).click()
    confirm(page, "Begin", "it has a route now")
    follow(page, "/console/bulk", "^retry")
    expect(page.locator("#job")).to_contain_text("done")
    assert evening.inbox(GHANA[0]) == []
    follow(page, "/console/senders", "Send again by main")
    confirm(page, "Send again", "it has a route now")
    for to in GHANA:
        assert evening.wait(to)["code"]


def test_no_page_keeps_anybody_out(evening: Up, context: BrowserContext) -> None:
    """No page has a serious or critical finding of axe-core, light or dark; none complains in its
    console, and none is wider than a narrow phone.
    """
    try:
        script = axe()
    except EnvironmentMissingError as error:
        missing(str(error))
    page = context.new_page()
    heard, found = complaints(page), []
    for path in pages_of(evening):
        page.emulate_media(color_scheme="light")
        page.goto(path)
        page.evaluate(script)
        found += [f"{path} {one}" for one in page.evaluate(FOUND, STRICT)]
        page.emulate_media(color_scheme="dark")
        found += [f"{path} dark {one}" for one in page.evaluate(FOUND, COLOURS)]
        page.set_viewport_size(NARROW)
        found += [f"{path} {one}" for one in page.evaluate(TOO_WIDE)]
        page.set_viewport_size(WIDE)
    assert (found, heard) == ([], [])


def test_without_javascript_the_pages_read(
    browser: Browser, evening: Up, operator: SignedIn
) -> None:
    """Every page has its heading, its facts and its buttons with scripts switched off."""
    context = browser.new_context(
        base_url=evening.url, storage_state=operator.state, java_script_enabled=False
    )
    page = context.new_page()
    for path in pages_of(evening):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("h1").count() == 1, path
        assert len(page.locator("main").inner_text()) > 60, path
    page.goto("/console/")
    assert page.get_by_role("link", name=re.compile("to Kenya failed by sms")).is_visible()
    assert page.get_by_role("button", name="Set").is_visible()
    context.close()


def test_keys_lead_to_search_and_pages(page: Page) -> None:
    """`/` stands in the search and is not typed there, `g q` opens the queues and `?` lists the
    keys; while somebody types, the same letters are letters.
    """
    page.goto("/console/")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    page.keyboard.type("gq/")
    expect(search).to_have_value("gq/")
    expect(page).to_have_url(re.compile("/console/$"))
    search.blur()
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    page.wait_for_url(re.compile("/console/queues$"))  # loaded, and so listening to keys
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("live updates")


def test_a_hidden_tab_hears_nothing(page: Page) -> None:
    """The stream ends when the tab is hidden and begins again when it is seen; paused, it does not
    begin.
    """
    page.add_init_script(HIDING)
    with page.expect_request(STREAM):
        page.goto("/console/")
    page.evaluate("new Promise(done => document.addEventListener('look', done, { once: true }))")
    with page.expect_event("requestfailed", lambda one: one.url.endswith(STREAM[2:])):
        page.evaluate("hide(true)")
    with page.expect_request(STREAM):
        page.evaluate("hide(false)")
    with page.expect_event("requestfailed", lambda one: one.url.endswith(STREAM[2:])):
        page.keyboard.press("p")
    heard: list[str] = []
    page.on("request", lambda one: heard.append(one.url))
    page.evaluate("hide(true), hide(false)")
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    assert [url for url in heard if url.endswith(STREAM[2:])] == []
    with page.expect_request(STREAM):
        page.keyboard.press("p")


def by_link(browser: Browser, up: Up, link: str) -> Page:
    """A window in which an operator came by a link, on the account's page."""
    page = browser.new_context(base_url=up.url, viewport=WIDE).new_page()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/console/account")
    return page


def test_a_stream_that_was_refused_comes_again(context: BrowserContext) -> None:
    """Where another answer comes than a stream, the page says in words since when its numbers are
    old, and their lines are broken; once the stream is there again, it is live again.
    """
    page = context.new_page()
    page.add_init_script(HIDING)
    page.goto("/console/")
    tile, old = page.locator(".tile.first"), page.get_by_text("No answer since")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    page.evaluate("hide(true)")
    page.route(STREAM, lambda one: one.fulfill(status=503, body="away"))
    page.evaluate("hide(false)")
    expect(page.get_by_role("button", name="No answer")).to_be_visible()
    expect(old).to_be_visible()
    expect(tile).to_have_css("border-top-style", "dashed")
    with page.expect_request(STREAM):
        pass
    page.unroute(STREAM)
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(old).to_be_hidden()
    expect(tile).to_have_css("border-top-style", "solid")
    page.close()


def test_whoever_was_signed_out_is_led_to_the_sign_in(browser: Browser, evening: Up) -> None:
    """A page that was left open goes to the sign-in once its session has ended elsewhere, also one
    that is the answer to a form.
    """
    page = by_link(browser, evening, new_link(evening))
    page.add_init_script(HIDING)
    other = page.context.new_page()
    page.goto("/console/limits")
    page.get_by_label("Number", exact=True).fill("12")
    page.get_by_role("button", name="Look").click()
    expect(page).to_have_url(re.compile("/limits/number$"))
    page.evaluate("hide(true)")
    other.goto("/console/account")
    other.get_by_role("button", name="Sign out").click()
    page.evaluate("hide(false)")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Fconsole%2Flimits$"))
    page.context.close()


def test_who_may_only_look_ends_a_session_of_their_own(browser: Browser, evening: Up) -> None:
    """A viewer is shown no actions, but the one that ends another browser's session."""
    link = new_link(evening, "viewer")
    page = by_link(browser, evening, link)
    name = page.locator("h1").inner_text().partition(",")[0]
    words = ("operators", "link", name, "--reason", "tests")
    again = by_link(browser, evening, commands.run(words, evening.environment)[1].strip())
    page.reload()
    end = page.get_by_role("link", name=re.compile("^End it"))
    expect(end).to_be_visible()
    page.goto("/console/senders")
    expect(page.locator("main a[href^='/console/act/']").first).to_be_hidden()
    for one in (page, again):
        one.context.close()


def test_a_call_is_taken_on_the_phone(evening: Up, page: Page) -> None:
    """A call rings on the page; answered, it asks for a key, and the key that is clicked is sent
    to the doors, whose words with the code are shown.
    """
    why = {"reason": "calls go again"}
    plausible.act(evening, "resume", kind="channel", name="call", **why)
    plausible.act(evening, "circuit", sender="main", channel="call", state="closed", **why)
    call = plausible.on_the_phone(evening)
    page.goto(f"/sandbox/phone?to=%2B{plausible.PHONE[1:]}")
    card = page.locator(f'article[data-sid="{call}"]')
    expect(page.get_by_role("button", name=re.compile("^Copy [0-9]+$")).first).to_be_visible()
    expect(page.locator("article.sms").last).to_contain_text("shop.example alone")
    card.get_by_role("button", name="Answer").click()
    expect(card).to_contain_text("Press any key")
    card.get_by_role("button", name="5", exact=True).click()
    expect(card.locator("mark").first).to_be_visible(timeout=15_000)
    spoken: Any = evening.wait(plausible.PHONE, after=evening.inbox(plausible.PHONE)[-1]["id"])
    assert card.locator("mark").first.inner_text().replace(", ", "") == spoken["code"]
    card.get_by_role("button", name="Hang up").click()
    expect(card).to_contain_text("✓ completed")
