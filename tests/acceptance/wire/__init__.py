"""Requests to start, check and fetch, and their exact answers."""
