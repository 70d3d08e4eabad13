"""The thin verification module: start, check, cancel, fetch. The database decides every race."""

from worker.verifications.check import Checking
from worker.verifications.manage import Managing
from worker.verifications.start import Starting
from worker.verifications.words import Delivery, Payment, Start, Verification


class Verifications(Starting, Checking, Managing):
    """Every public method is one use case."""


__all__ = ["Delivery", "Payment", "Start", "Verification", "Verifications"]
