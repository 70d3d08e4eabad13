"""Which links of the document were followed: the values of one answer, taken by the next one."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Operation = tuple[str, str]  # method and path


@dataclass(frozen=True)
class Exchange:
    """What was asked and answered: all that an expression of a link may name."""

    path: Mapping[str, Any]
    body: Any

    def value(self, expression: str) -> Any:
        """
        :raises LookupError: it names what is not there
        """
        place, _, pointer = expression.partition("#/")
        if place != "$response.body":
            return self.path[place.removeprefix("$request.path.")]
        found = self.body
        for step in pointer.split("/"):
            found = found[int(step) if isinstance(found, list) else step]
        return found


@dataclass(frozen=True)
class Link:
    source: Operation
    target: Operation
    names: tuple[tuple[str, str], ...]  # each with the expression that it comes from

    def asked(self, before: Exchange) -> tuple[Any, ...]:
        return tuple(before.value(expression) for _, expression in self.names)

    def taken(self, path: Mapping[str, Any], body: Any) -> tuple[Any, ...]:
        form = body if isinstance(body, dict) else {}
        given = {f"path.{name}": value for name, value in path.items()} | form
        return tuple(given.get(name) for name, _ in self.names)


def links_of(document: Mapping[str, Any]) -> Iterator[Link]:
    paths = document["paths"]
    by_id = {o["operationId"]: (m, p) for p, found in paths.items() for m, o in found.items()}
    for path, operations in paths.items():
        for method, operation in operations.items():
            for answer in operation["responses"].values():
                for link in answer.get("links", {}).values():
                    names = {**link["parameters"], **link.get("requestBody", {})}
                    yield Link((method, path), by_id[link["operationId"]], tuple(names.items()))


class Followed:
    """
    :ivar links: those that were followed, and to a success
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.links: set[Link] = set()
        self._from: dict[Operation, list[Link]] = defaultdict(list)
        self._to: dict[Operation, list[Link]] = defaultdict(list)
        for link in links_of(document):
            self._from[link.source].append(link)
            self._to[link.target].append(link)
        self._open: dict[Link, set[tuple[Any, ...]]] = defaultdict(set)

    @property
    def all(self) -> int:
        return sum(map(len, self._from.values()))

    def note(self, operation: Operation, path: Mapping[str, Any], form: Any, answer: Any) -> None:
        """A request that succeeded."""
        for link in self._to[operation]:
            if link.taken(path, form) in self._open[link]:
                self.links.add(link)
        for link in self._from[operation]:
            try:
                self._open[link].add(link.asked(Exchange(path, answer)))
            except (LookupError, TypeError):
                continue  # a list without an entry leads nowhere
