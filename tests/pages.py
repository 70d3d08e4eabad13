"""What a person sees on a page: its links by their words, and its forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """
    :param fields: what it sends of itself: hidden fields, what stands in others, and the first
        choice of each list
    """

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A page's links and forms, in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.links: list[tuple[str, str]] = []
        self.forms: list[Form] = []
        self._href: str | None = None
        self._words = ""
        self._select: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in found:
            self._href, self._words = found["href"], ""
        elif tag == "form":
            self.forms.append(Form(found.get("action", ""), found.get("method", "get").lower()))
        elif tag == "input" and self.forms and _is_sent(found):
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        elif tag == "select" and self.forms:
            self._select = found["name"]
        elif tag == "option" and self._select and "selected" in found:
            self.forms[-1].fields[self._select] = found.get("value", "")

    def handle_data(self, data: str) -> None:
        self._words += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href is not None:
            self.links.append((self._href, " ".join(self._words.split())))
            self._href = None
        elif tag == "select":
            self._select = None

    def link(self, words: str) -> str:
        """Where the first link with these words in it leads."""
        found = [href for href, text in self.links if words in text]
        assert found, f"no link says {words!r}, but: {[text for _, text in self.links]}"
        return found[0]

    def form(self, action: str) -> Form:
        """The first form whose action has this in it."""
        found = [form for form in self.forms if action in form.action]
        assert found, f"no form leads to {action!r}"
        return found[0]


def _is_sent(found: dict[str, str]) -> bool:
    kind = found.get("type", "text")
    return kind == "hidden" or (kind == "text" and bool(found.get("value")))
