"""Measurements, not tests: see README.md here, and run `./dev bench`."""
