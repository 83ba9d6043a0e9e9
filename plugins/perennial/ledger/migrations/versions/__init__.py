"""One file a revision, named <number>_<what>.py."""
