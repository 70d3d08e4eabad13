"""Operators as other operators change them: who there is, in which role, who may sign in."""

from collections.abc import Callable
from functools import partial

from worker.audit import Operator as By
from worker.audit import clean_reason
from worker.operations.words import Outcome, Result, acting, done_or_would, require_admin
from worker.operators import Operators
from worker.operators.words import Change, one_spelling


class People:
    """Every method raises ActionRefusedError: `not_allowed`, none but an administrator may;
    `last_admin`, no enabled administrator would be left.
    """

    def __init__(self, room: Operators) -> None:
        self._room = room

    @acting("operator.add")
    def add(
        self,
        by: By,
        name: str,
        role: str,
        reason: str,
        *,
        password: str | None = None,
        link: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Make an operator.

        :param password: None where the first sign-in is to be by a link
        :param link: also make one, whose key is in `link` of the answer
        :raises InvalidParameterError: an unusable name, role or password, or no reason
        :raises ConflictError: there is one of this name
        """
        _require(by)
        reason = clean_reason(reason)
        made = self._room.add(name, role, password, by, reason, dry_run)
        key = None if dry_run or not link else self._room.make_link(made.name, by, reason)
        after = {"role": made.role.value}
        target = f"operator {made.name}"
        return Outcome("operator.add", target, done_or_would(dry_run), after=after, link=key)

    @acting("operator.link")
    def link(self, by: By, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Make a link that signs an operator in once, in `link` of the answer; older ones end.

        :raises NotFoundError: there is none of this name, or it is disabled
        """
        _require(by)
        reason = clean_reason(reason)
        key = self._room.make_link(name, by, reason, dry_run)
        target = f"operator {one_spelling(name)}"
        key_or_none = None if dry_run else key
        return Outcome("operator.link", target, done_or_would(dry_run), link=key_or_none)

    @acting("operator.role")
    def set_role(
        self, by: By, name: str, role: str, reason: str, *, dry_run: bool = False
    ) -> Outcome:
        """Give an operator another role, which holds from the next page on.

        :raises InvalidParameterError: no such role, or no reason
        :raises NotFoundError: there is none of this name
        """
        act = partial(self._room.set_role, name, role, by, dry_run=dry_run)
        return _changed(by, "operator.role", name, reason, dry_run, act)

    @acting("operator.disable")
    def disable(self, by: By, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """End an operator's sessions and links, and let no new one begin."""
        act = partial(self._room.disable, name, by, dry_run=dry_run)
        return _changed(by, "operator.disable", name, reason, dry_run, act)

    @acting("operator.enable")
    def enable(self, by: By, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Let a disabled operator sign in again."""
        act = partial(self._room.enable, name, by, dry_run=dry_run)
        return _changed(by, "operator.enable", name, reason, dry_run, act)

    @acting("operator.reset")
    def reset(self, by: By, name: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """Forget password, second factor and sessions, as after a lost phone."""
        act = partial(self._room.reset, name, by, dry_run=dry_run)
        return _changed(by, "operator.reset", name, reason, dry_run, act)

    @acting("operator.end-session")
    def end_session(self, by: By, sid: str, reason: str, *, dry_run: bool = False) -> Outcome:
        """End one sign-in of an operator. One's own is anybody's to end.

        :param sid: `OS…`, as `Operators.sessions` shows it
        :raises InvalidParameterError: no reason
        :raises NotFoundError: no such session, or it has ended
        """
        reason = clean_reason(reason)
        name = self._room.find_session(sid).operator.name
        if by.name != name:
            _require(by)
        ended = self._room.end_session(sid, by, reason, dry_run)
        before = {"session": sid, "address": ended.address}
        return Outcome(
            "operator.end-session", f"operator {name}", done_or_would(dry_run), before=before
        )


def _require(by: By) -> None:
    require_admin(by, "manage operators")


def _changed(
    by: By, action: str, name: str, reason: str, dry_run: bool, act: Callable[[str], Change]
) -> Outcome:
    _require(by)
    change = act(clean_reason(reason))
    result = done_or_would(dry_run) if change.changed else Result.UNCHANGED
    target = f"operator {one_spelling(name)}"
    return Outcome(action, target, result, change.before, change.after if change.changed else None)
