"""sendcode's worker side: verifications, dispatch, limits and the Celery application."""

from importlib.metadata import version

__version__ = version("sendcode")
