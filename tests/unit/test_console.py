"""What the console's pages load is their own, and how things read on them."""

import hashlib
import re
from pathlib import Path

import pytest

from api_stub.console import pages, wording
from api_stub.console.guard import own_path
from api_stub.console.look import Look
from worker.operations import Pause

ROOT = Path(__file__).parents[2] / "api_stub" / "console"
VENDORED = ROOT / "static" / "vendor"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def test_vendored_files_are_what_was_published() -> None:
    """Every file of others has its hash in VENDOR.txt, below a line with name, version and
    licence, and no file is without."""
    text = (VENDORED / "VENDOR.txt").read_text()
    hashes = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)[i][::-1]
                  for i in range(text.count("  ")))  # fmt: skip
    files = {path.name for path in VENDORED.iterdir()} - {"VENDOR.txt"}
    assert files == set(hashes)
    for name, expected in hashes.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == expected, name
    named = re.findall(r"^(\S+) (\d+\.\d+\.\d+), (\S+), unchanged", text, re.MULTILINE)
    assert [name for name, _, _ in named] == ["htmx.org", "uplot"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_nothing_from_elsewhere(path: Path) -> None:
    """No script or style in the markup, no handler in an attribute, no address of another host."""
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|hx-on|hx-vals=.js", text)
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_writes_carries_the_token(path: Path) -> None:
    """Between `<form method="post"` and its end stands the CSRF field."""
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", path.read_text(), re.DOTALL):
        assert "{{ hidden(csrf) }}" in form or 'name="csrf" value="{{ csrf }}"' in form, form[:120]


def test_own_scripts_and_styles_load_nothing_from_elsewhere() -> None:
    """Neither our scripts nor our stylesheet names another host."""
    for name in ("console.js", "charts.js", "console.css"):
        text = (ROOT / "static" / name).read_text()
        assert "//" not in re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE), name


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("/console/queues?x=1", "/console/queues?x=1"),
        ("https://evil.example/console/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console/\\evil.example", "/console/"),
        ("javascript:alert(1)", "/console/"),
        ("/v2/Services", "/console/"),
        ("", "/console/"),
    ],
)
def test_one_goes_on_to_pages_of_the_console_alone(given: str, target: str) -> None:
    """After the sign-in no address leads elsewhere."""
    assert own_path(given) == target


def test_times_and_shares_read_well() -> None:
    """Each in the unit that fits; a share that is not whole never reads as all or nothing."""
    spans = [wording.span(one) for one in (0.04, 1.26, 75, 7260, 200_000, None)]
    assert spans == ["40 ms", "1.3 s", "1 min 15 s", "2 h 1 min", "2 d 7 h", "–"]
    shares = [wording.percent(one) for one in (0, 0.0004, 0.004, 0.5, 0.996, 0.9999, 1, None)]
    assert shares == ["0%", "< 0.1%", "0.4%", "50%", "99.6%", "> 99.9%", "100%", "–"]


def test_a_fact_reads_like_words() -> None:
    """No braces, quotes or True of a program."""
    given = {"channel": "sms", "error_code": "30003", "override_limits": False, "within": 7200}
    assert (
        wording.fact(given) == "channel sms, error code 30003, override limits no, within 2 h 0 min"
    )


def test_a_text_that_is_said_aloud_stands_still() -> None:
    """What the red line says does not change with every look, or a screen reader repeats it."""
    banner = (ROOT / "templates" / "parts" / "banner.html").read_text()
    assert "|ago" not in banner
    assert wording.clock(0) == '<time datetime="1970-01-01T00:00:00Z">01 Jan 00:00 UTC</time>'


def test_who_did_it_fits_on_a_phone() -> None:
    """A caller of the API is cut short, with all of its sid on hover; a name is whole and text."""
    sid = "SK01a2222e84d49a64dae05b6ca0212612"
    assert wording.who(sid) == f'<abbr title="{sid}">SK01a2222e…</abbr>'
    banner = pages.templates.get_template("parts/banner.html")
    one = Pause("country", "DE", "why", f"{sid}<b>", 0, None)
    assert f"{sid}&lt;b&gt;" in banner.render(look=Look(0.0, pauses=[one]))
    assert wording.who("ann") == "ann"


def test_a_text_is_never_markup() -> None:
    """Backticks make code, and nothing else in a text is taken for markup."""
    assert wording.marked("run `a <b>` & see") == "run <code>a &lt;b&gt;</code> &amp; see"


def test_a_trend_lies_within_its_picture() -> None:
    """The highest value is at the top, none at the bottom."""
    assert wording.points((0, 2, 4)) == "0.0,21.0 48.0,11.0 96.0,1.0"
    assert wording.points((0, 0)) == "0.0,21.0 96.0,21.0"
