"""Kinds of values that campaigns and the contact policy share."""

import re
from datetime import time
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from perennial.foundation.documents import Document


def _share(value: object) -> Decimal:
    if not isinstance(value, str) or not (match := re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?) ?%", value)):
        raise ValueError("write a share as a percentage, such as 10%")
    return Decimal(match[1]) / 100


def _local_time(value: object) -> time:
    # YAML reads 10:00 without quotes as the number 600.
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError('write a time of day in quotes, such as "09:00"')
    return time.fromisoformat(value)


Share = Annotated[Decimal, BeforeValidator(_share)]  # written 10%, held as 0.1
LocalTime = Annotated[time, BeforeValidator(_local_time)]


class AtMost(Document):
    """No more than `at_most` within any `every_days` days, the day of sending included."""

    at_most: int = Field(ge=1, le=100)
    every_days: int = Field(ge=1, le=3650)


class SendAt(Document):
    """The time of day in the receiver's own time zone."""

    local_time: LocalTime
