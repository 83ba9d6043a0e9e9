"""What the law of a receiver's country asks of promotional mail: `include/rules/laws.yaml`."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Law(Document):
    """One law, in the countries where it holds."""

    countries: tuple[Country, ...] = ()
    consent: Literal["express", "opt_out"] = Field(description="express: who said nothing is not written to.")
    subject_labels: dict[str, str] = Field(
        default={}, description="What a subject begins with, by language; `other` for those not named."
    )


class LawBook(Document):
    """The laws by name, and the one that holds elsewhere."""

    laws: dict[str, Law] = Field(min_length=1)
    elsewhere: str = Field(description="The law for countries that no law names, and where the country is not known.")

    @model_validator(mode="after")
    def _each_country_has_one(self) -> Self:
        if self.elsewhere not in self.laws:
            raise ValueError(f"elsewhere: there is no law {self.elsewhere!r}")
        named = Counter(country for law in self.laws.values() for country in law.countries)
        twice = [country for country, times in named.items() if times > 1]
        if twice:
            raise ValueError(f"{twice[0]} has two laws")
        return self

    def of(self, country: str | None, locale: str | None) -> Law:
        """The law for a person: of their country; where that is not known, of their locale's region (zh-CN)."""
        where = country or (locale or "").partition("-")[2]
        return next((law for law in self.laws.values() if where in law.countries), self.laws[self.elsewhere])

    def subject_label(self, country: str | None, locale: str | None, written_in: str) -> str:
        """What the subject of a promotional mail to this person begins with; mostly nothing."""
        labels = self.of(country, locale).subject_labels
        return labels.get(written_in.partition("-")[0], labels.get("other", ""))


def load_laws(settings: Settings) -> LawBook:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "laws.yaml"), LawBook)
