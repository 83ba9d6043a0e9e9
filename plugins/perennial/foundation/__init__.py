"""What every room may rely on: errors, settings, days and the clock, documents read from disk."""
