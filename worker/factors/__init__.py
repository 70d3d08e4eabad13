"""Authenticator apps (TOTP) and backup codes. The database decides every race, and its clock."""

from worker.factors.backup import BackingUp
from worker.factors.challenge import Challenging
from worker.factors.enrol import Enrolling
from worker.factors.entities import Entities
from worker.factors.keeping import Keeping
from worker.factors.purge import purge
from worker.factors.transfer import Transferring
from worker.factors.words import (
    CHALLENGE_STATUSES,
    Asked,
    BackupCodes,
    Challenge,
    Change,
    Config,
    Enrolment,
    Entity,
    Factor,
)


class Factors(Entities, Enrolling, Challenging, BackingUp, Keeping, Transferring):
    """Every public method is one use case."""


__all__ = [
    "CHALLENGE_STATUSES",
    "Asked",
    "BackupCodes",
    "Challenge",
    "Change",
    "Config",
    "Enrolment",
    "Entity",
    "Factor",
    "Factors",
    "purge",
]
