"""Applications and users as Authy v1 has them: an application is a service, a user an entity."""

from worker.authy.figures import Figures, Month
from worker.authy.keys import AuthyApp, AuthyKey, AuthyKeys
from worker.authy.transfer import BadUser, UserRow, check_email, international, read_users
from worker.authy.users import AuthyUser, AuthyUsers

__all__ = [
    "AuthyApp",
    "AuthyKey",
    "AuthyKeys",
    "AuthyUser",
    "AuthyUsers",
    "BadUser",
    "Figures",
    "Month",
    "UserRow",
    "check_email",
    "international",
    "read_users",
]
