"""Our own addresses that get a copy of each mail, to see what people see: `include/rules/seeds.yaml`."""

from collections.abc import Collection
from typing import Annotated

from pydantic import Field, StringConstraints

from perennial.foundation.documents import Document, read_document
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings


class Seed(Document):
    address: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s.]{2,}$")]
    campaigns: tuple[str, ...] = Field(default=(), description="Default: all of them.")


class SeedList(Document):
    seeds: tuple[Seed, ...] = ()

    def addresses(self, campaign: str) -> list[str]:
        """Who gets copies of a campaign, each once."""
        return list(dict.fromkeys(s.address.lower() for s in self.seeds if campaign in s.campaigns or not s.campaigns))


def load_seeds(campaigns: Collection[str], settings: Settings) -> SeedList:
    """Raises BadConfig naming file, field and value, also for a campaign that is none of `campaigns`."""
    path = settings.files.file("rules", "seeds.yaml")
    found = read_document(path, SeedList)
    for place, seed in enumerate(found.seeds):
        if unknown := [name for name in seed.campaigns if name not in campaigns]:
            raise BadConfig(
                f"{path}: field seeds.{place}.campaigns: there is no campaign {unknown[0]!r}. "
                f"There are: {', '.join(campaigns)}."
            )
    return found
