"""Perennial: a retention-marketing pipeline. Start reading in `flows/`."""

__version__ = "0.1.0"
