"""The segments of `include/rules/segments.yaml`, over the columns of `customers.profile`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from perennial.foundation.documents import Document, read_document
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.segments.expressions import Condition, Family, parse_condition

# What a segment may ask about a customer, as of the end of the day. Money is net revenue in the business currency.
PROFILE_COLUMNS: dict[str, Family] = {
    "customer_id": "text",
    # who and where
    "locale": "text",
    "country": "text",
    "region": "text",
    "city": "text",
    "timezone": "text",
    "gender": "text",
    "age": "number",
    "birthday": "date",
    "interests": "list",
    "signup_date": "date",
    "signup_channel": "text",
    # whether they may be written to
    "email_domain": "text",
    "has_email": "boolean",
    "has_email_consent": "boolean",
    "is_suppressed": "boolean",
    # what they bought
    "orders": "number",
    "net_revenue": "number",
    "aov": "number",
    "orders_12m": "number",
    "net_revenue_12m": "number",
    "first_order_date": "date",
    "last_order_date": "date",
    "recency_days": "number",
    "mean_gap_days": "number",
    "favourite_category": "text",
    "favourite_channel": "text",
    "distinct_categories": "number",
    "return_rate": "number",
    "discount_share": "number",
    # what they did and said
    "interactions_30d": "number",
    "sessions_30d": "number",
    "carts_30d": "number",
    "searches_30d": "number",
    "complaints_90d": "number",
    "open_tickets": "number",
    "last_csat": "number",
    "last_nps": "number",
    "referrals": "number",
    # recency, frequency, monetary: three digits, and the name of the cell
    "rfm_code": "text",
    "rfm_segment": "text",
}

SegmentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Kind = Literal["demographic", "geographic", "behavioural", "interest", "value"]


class _Entry(Document):
    title: str = Field(min_length=1, max_length=60)
    description: str = Field(min_length=1, max_length=300)
    kind: Kind
    where: str


class _SegmentBook(Document):
    segments: dict[SegmentName, _Entry] = Field(min_length=1)


@dataclass(frozen=True)
class Segment:
    """A named set of customers: everyone for whom `condition` is true."""

    name: str
    title: str
    description: str
    kind: Kind
    condition: Condition


def load_segments(settings: Settings) -> tuple[Segment, ...]:
    """
    Read and check every segment, in the order of the file.

    Raises BadConfig naming file, segment and what is wrong with it.
    """
    path = settings.files.file("rules", "segments.yaml")
    segments = []
    for name, entry in read_document(path, _SegmentBook).segments.items():
        try:
            condition = parse_condition(entry.where, PROFILE_COLUMNS)
        except BadConfig as error:
            raise BadConfig(f"{path}: field segments.{name}.where: {error}") from error
        segments.append(Segment(name, entry.title, entry.description, entry.kind, condition))
    return tuple(segments)


def compile_segments(segments: Iterable[Segment], profile: str = "customers.profile") -> str:
    """
    One portable query for the membership in all `segments`: (segment, customer_id), one row each.

    It reads the parameter `$day` if a segment uses days_since().
    """
    return "\nunion all\n".join(
        f"select '{segment.name}' as segment, customer_id\nfrom {profile}\nwhere {segment.condition.sql}"
        for segment in segments  # names are checked identifiers, conditions are written from a checked tree
    )


def compile_segment_names(segments: Iterable[Segment], profile: str = "customers.profile") -> str:
    """
    One portable query for (customer_id, segments): the names of all segments a person is in, in order, with commas.

    In one pass over the profile, where putting the rows of the membership together would sort them by person.
    """
    named = sorted(segments, key=lambda segment: segment.name)
    names = " || ".join(f"case when {segment.condition.sql} then ',{segment.name}' else '' end" for segment in named)
    return f"select customer_id, substring({names}, 2) as segments\nfrom {profile}"
