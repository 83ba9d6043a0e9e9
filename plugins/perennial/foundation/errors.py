"""
The errors Perennial raises on purpose.

    PerennialError
    ├── Permanent       trying again cannot help: a person has to change something
    │   ├── BadConfig   a setting, YAML, SQL or template file is wrong
    │   └── BadData     a source file or a batch is refused
    └── Retryable       the world may be different in a moment: a lock, a server, a full disk

A message says what is wrong, the value, where (file and field or row), and what to do about it.
"""


class PerennialError(Exception):
    """The root: whatever Perennial raises on purpose."""


class Permanent(PerennialError):
    """Never retried."""


class BadConfig(Permanent):
    """A setting, YAML, SQL or template file is wrong; the message names file, field and value."""


class BadData(Permanent):
    """A source file or a batch is refused; the message names source, file and column or row."""


class Retryable(PerennialError):
    """Trying again later may succeed."""
