"""A first source file for data of one's own."""

from pathlib import Path

from perennial.contracts import load_contract
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import SHIPPED, Settings
from perennial.sources import Proposal, propose


def new_source(name: str, file: Path, contract: str, settings: Settings) -> tuple[Path, Proposal]:
    """
    Write `sources/<name>.yaml`, guessed from a CSV file, into the include folder of one's own; returns its path too.

    Raises BadConfig for a name that is none, a file that exists, an unknown contract, and where PERENNIAL_INCLUDE names
    no folder of one's own; BadData for a file that is not readable.
    """
    if not (name.isidentifier() and name.isascii() and name == name.lower()):
        raise BadConfig(f"Source name {name!r}: use lower-case letters, digits and underscores, such as web_orders.")
    if settings.include.resolve() == SHIPPED:
        raise BadConfig(
            "PERENNIAL_INCLUDE names no folder of your own, and the shipped sources are the demo shop's. "
            "Make a folder and set PERENNIAL_INCLUDE to it."
        )
    target = settings.include / "sources" / f"{name}.yaml"
    proposal = propose(name, file, load_contract(contract, settings))
    target.parent.mkdir(exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as writing:
            writing.write(proposal.text)
    except FileExistsError as error:
        raise BadConfig(f"{target}: exists already. Edit it, or choose another name than {name!r}.") from error
    return target, proposal
