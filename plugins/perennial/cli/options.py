"""Options that many commands have."""

from typing import Annotated

import typer

DAY_FORMAT = ["%Y-%m-%d"]
BY = Annotated[str, typer.Option("--by", help="Who does this; kept in the audit log.")]
WHY = Annotated[str, typer.Option("--why", help="Why; kept in the audit log: name nobody.")]
