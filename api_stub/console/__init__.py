"""The operators' console: pages under `/console/`, an application of its own inside the doors'."""

from api_stub.console.app import create
from api_stub.console.pages import BASE

__all__ = ["BASE", "create"]
