"""The RFM map, `include/rules/rfm.yaml`: which segment each of the 125 codes belongs to."""

from collections.abc import Mapping
from itertools import product
from typing import Self

from pydantic import model_validator

from perennial.foundation.documents import Document, read_document
from perennial.foundation.settings import Settings

CODES = frozenset(int("".join(digits)) for digits in product("12345", repeat=3))


class RfmMap(Document):
    """Segment name -> its codes; every code exactly once."""

    segments: Mapping[str, tuple[int, ...]]

    @model_validator(mode="after")
    def _exact_partition(self) -> Self:
        codes = [code for segment in self.segments.values() for code in segment]
        wrong = sorted({code for code in codes if codes.count(code) > 1} | (set(codes) ^ CODES))
        if wrong:
            raise ValueError(f"each code from 111 to 555 belongs to one segment; look at {wrong}")
        return self

    def rows(self) -> list[dict[str, object]]:
        """The rows of `rules.rfm`: code (text), segment."""
        return [{"code": str(code), "segment": name} for name, codes in self.segments.items() for code in codes]


def load_rfm_map(settings: Settings) -> RfmMap:
    """Raises BadConfig naming file, field and value."""
    return read_document(settings.files.file("rules", "rfm.yaml"), RfmMap)
