"""What operators do: the same verbs for console, command line and API.

Each says who acts and why, can be tried dry, lands in the audit log, and does no harm when it is
done twice or by two at once.
"""

from worker.audit import Audit
from worker.operations.blocks import Block, Blocks
from worker.operations.budgets import Budgets, BudgetStanding
from worker.operations.bulk import Bulk, BulkJob
from worker.operations.crew import Crew
from worker.operations.discarding import Discarding
from worker.operations.forcing import Forcing
from worker.operations.numbers import Numbers
from worker.operations.pauses import Pause, Pauses
from worker.operations.people import People
from worker.operations.replaying import Replaying
from worker.operations.sending import Sending
from worker.operations.testing import Testing
from worker.operations.words import Outcome, Result


class Operations:
    """The verbs by what they are about."""

    def __init__(
        self,
        pauses: Pauses,
        blocks: Blocks,
        budgets: Budgets,
        sending: Sending,
        discarding: Discarding,
        numbers: Numbers,
        circuits: Forcing,
        testing: Testing,
        replaying: Replaying,
        people: People,
        crew: Crew,
        bulk: Bulk,
        audit: Audit,
    ) -> None:
        self.pauses = pauses
        self.blocks = blocks
        self.budgets = budgets
        self.sending = sending
        self.discarding = discarding
        self.numbers = numbers
        self.circuits = circuits
        self.testing = testing
        self.replaying = replaying
        self.people = people
        self.crew = crew
        self.bulk = bulk
        self.audit = audit

    def end_overdue(self) -> None:
        """End the pauses, blocks and budgets whose time is over."""
        self.pauses.end_overdue()
        self.blocks.end_overdue()
        self.budgets.end_overdue()

    def purge(self, age: int) -> None:
        """Delete what the audit log has kept for a year, and older bulk jobs that have ended.

        :param age: ms since they ended
        """
        self.audit.purge()
        self.bulk.purge(age)


__all__ = ["Block", "BudgetStanding", "BulkJob", "Operations", "Outcome", "Pause", "Result"]
