"""Those who operate sendcode: their roles, how they sign in, and their sessions."""

from worker.operators.sessions import Operators
from worker.operators.words import Operator, Role, Session

__all__ = ["Operator", "Operators", "Role", "Session"]
