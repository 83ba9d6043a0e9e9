"""The command line as a person meets it, and the files that people edit, to be spoilt."""

import os
import re
import subprocess
import sys
from pathlib import Path

from perennial.foundation.settings import load_settings

INCLUDE = load_settings().include


def perennial(home, *arguments, **environment):
    """The command as a person runs it; whatever happens, it shows neither a traceback nor an address."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("perennial"), *arguments],
        env=inherited | {"PERENNIAL_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert not re.search(r"\w@\w", done.stdout + done.stderr)
    return done


def refused(done, *words):
    """It ended with an error that says all of this."""
    assert done.returncode == 1, done.stdout
    assert "Error: " in done.stderr
    for word in words:
        assert word in done.stderr


def spoil(file, before, after):
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1), encoding="utf-8")
