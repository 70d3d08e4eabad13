"""The verbs about those who may sign in to the console."""

from api_stub.console.verb import Given, Verb
from worker.audit import Operator
from worker.errors import ActionRefusedError
from worker.operators import Role
from worker.operators.words import one_spelling


def _another(by: Operator, given: Given) -> str:
    """The name of an operator who is not the one who acts."""
    name = one_spelling(given["name"])
    if name == by.name:
        text = "Another admin has to do this to you, or the command line."
        raise ActionRefusedError("yourself", text)
    return name


PEOPLE: dict[str, Verb] = {
    "add-operator": Verb(
        lambda given: f"Add {given['name']} as {given['role']}",
        "The next page shows a link for the first sign-in, once.",
        lambda ops, by, given, rest: ops.people.add(
            by, given["name"], given["role"], link=True, **rest),
        takes=("name", "role"), role=Role.ADMIN, back="/operators", button="Add",
    ),
    "link-operator": Verb(
        lambda given: f"A link that signs {given['name']} in",
        "It is good once, within 15 minutes, and is shown on the next page alone. Older ones end.",
        lambda ops, by, given, rest: ops.people.link(by, given["name"], **rest),
        takes=("name",), role=Role.ADMIN, back="/operators", button="Make it",
    ),
    "set-role": Verb(
        lambda given: f"Give {given['name']} the role {given['role']}",
        "It holds from the next page that is opened on.",
        lambda ops, by, given, rest: ops.people.set_role(
            by, _another(by, given), given["role"], **rest),
        takes=("name", "role"), danger=True, role=Role.ADMIN, back="/operators",
    ),
    "disable-operator": Verb(
        lambda given: f"Disable {given['name']}",
        "Sessions and links end, and no new one begins.",
        lambda ops, by, given, rest: ops.people.disable(by, _another(by, given), **rest),
        takes=("name",), danger=True, role=Role.ADMIN, back="/operators", button="Disable",
    ),
    "enable-operator": Verb(
        lambda given: f"Enable {given['name']}",
        "May sign in again.",
        lambda ops, by, given, rest: ops.people.enable(by, given["name"], **rest),
        takes=("name",), role=Role.ADMIN, back="/operators", button="Enable",
    ),
    "reset-operator": Verb(
        lambda given: f"Reset {given['name']}",
        "Password, second factor and sessions are forgotten, as after a lost phone. A link lets"
        " them in again.",
        lambda ops, by, given, rest: ops.people.reset(by, _another(by, given), **rest),
        takes=("name",), danger=True, role=Role.ADMIN, back="/operators", button="Reset",
    ),
    "end-session": Verb(
        lambda given: "End a session",
        "Its browser has to sign in again.",
        lambda ops, by, given, rest: ops.people.end_session(by, given["sid"], **rest),
        takes=("sid",), danger=True, role=Role.ADMIN, back="/operators", button="End it",
    ),
    "end-own-session": Verb(
        lambda given: "End one of your sessions",
        "Its browser has to sign in again.",
        lambda ops, by, given, rest: ops.people.end_session(by, given["sid"], **rest),
        takes=("sid",), danger=True, role=Role.VIEWER, back="/account", button="End it",
    ),
}  # fmt: skip
