"""Authy v1's wire shape over the same use cases: the application is the service of the key."""
