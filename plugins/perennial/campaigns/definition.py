"""
A campaign is a folder a marketer can read.

    include/templates/win_back/
      campaign.yaml
      en/subject.txt.j2     en/body.mjml.j2     [en/body.txt.j2]
      zh-CN/subject.txt.j2  zh-CN/body.mjml.j2
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, Self

from babel import Locale, UnknownLocaleError
from pydantic import Field, field_validator, model_validator

from perennial.campaigns.festivals import FestivalBook, load_festivals
from perennial.campaigns.fields import AtMost, SendAt, Share
from perennial.campaigns.triggers import Trigger
from perennial.foundation.documents import Document, read_document
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.segments.definitions import PROFILE_COLUMNS, load_segments
from perennial.segments.expressions import Condition, Family, parse_condition

# What an audience may ask: the profile, and what loyalty and churn know about the person at the end of the day.
AUDIENCE_COLUMNS: dict[str, Family] = {
    **PROFILE_COLUMNS,
    "tier": "text",
    "previous_tier": "text",
    "tier_change": "text",  # upgrade, downgrade, or empty: on this day
    "points_balance": "number",
    "churn_risk": "text",  # low, medium, high
    "churn_probability": "number",
}
SUBJECT, BODY, TEXT_BODY = "subject.txt.j2", "body.mjml.j2", "body.txt.j2"
MAX_HOLDOUT = Decimal("0.5")

_NAME = r"^[a-z][a-z0-9_]{0,39}$"


def _known_locale(name: str) -> str:
    try:
        Locale.parse(name, sep="-")
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError("is not a locale such as en or zh-CN") from error
    return name


class Audience(Document):
    """Everyone for whom `where` is true and who is in none of the segments of `exclude`."""

    where: str = Field(default="true", description="Default: everyone that the trigger names.")
    exclude: tuple[str, ...] = ()


class Variant(Document):
    """One wording. A person keeps the variant they were given; weights are relative to each other."""

    name: str = Field(pattern=_NAME)
    weight: int = Field(default=1, ge=1, le=1000)
    subject: str = Field(default=SUBJECT, pattern=r"^subject(\.[a-z0-9_]+)?\.txt\.j2$")


class Experiment(Document):
    """Who is left out to compare with, and which wordings compete."""

    holdout: Share = Field(default=Decimal(0), ge=0, le=MAX_HOLDOUT)
    variants: tuple[Variant, ...] = Field(default=(Variant(name="a"),), min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        twice = [name for name, count in Counter(variant.name for variant in self.variants).items() if count > 1]
        if twice:
            raise ValueError(f"variant {twice[0]!r} is defined twice")
        return self


class Goal(Document):
    """What counts as success, and until how many days after the mail."""

    conversion: Literal["order"] = "order"
    within_days: int = Field(ge=1, le=90)


class Above(Document):
    """More mails than this at once need a yes."""

    above: int = Field(ge=0, description="Mails of one send day.")


class Offer(Document):
    """What a mail brings along."""

    coupons: str = Field(pattern=_NAME, description="A pool of codes: each mail takes one, and nobody has the same.")


UtmTag = Literal["source", "medium", "campaign", "content"]


class CampaignFile(Document):
    """What `campaign.yaml` says."""

    name: str = Field(min_length=1, max_length=80)
    purpose: Literal["promotional", "transactional", "service"] = Field(
        description="Which law applies: promotional mail needs consent, counts towards caps and can be unsubscribed."
    )
    topic: str = Field(pattern=_NAME, description="What people consent to or unsubscribe from.")
    audience: Audience
    needs: tuple[str, ...] = Field(
        default=(), description="Contracts or sources without which, fresh and whole, nobody is written to."
    )
    trigger: Trigger
    repeat: AtMost
    send_at: SendAt | Literal["best_hour"] | None = Field(
        default=None, description="Default: the contact policy's, also where too little is known for best_hour."
    )
    priority: int = Field(
        default=100, ge=1, le=1000, description="The lower number wins where a cap lets only one through."
    )
    experiment: Experiment = Experiment()
    goal: Goal
    approval: Literal["always", "never"] | Above = Field(
        default=Above(above=5000), description="When a person has to approve what is planned before it is sent."
    )
    offer: Offer | None = None
    utm: dict[UtmTag, str] = Field(default={}, description="Tags on links, such as {campaign: spring}.")
    partner: str | None = Field(default=None, pattern=_NAME, description="With whom it is made; kept with decisions.")
    default_locale: str = Field(default="en", description="For people whose language the campaign does not have.")

    @field_validator("default_locale")
    @classmethod
    def _locale(cls, name: str) -> str:
        return _known_locale(name)


@dataclass(frozen=True)
class Campaign:
    """
    A campaign folder, checked as a whole.

    `id` is the folder's name, `locales` the names of its folders, `shared` where pieces of all campaigns are looked up.
    `leaves` is the condition that ends a sequence for a person, of a step that has one.
    """

    id: str
    folder: Path
    file: CampaignFile
    audience: Condition
    locales: tuple[str, ...]
    shared: tuple[Path, ...]
    leaves: Condition | None = None

    def needs_approval(self, mails: int) -> bool:
        """Whether a person has to approve so many mails."""
        rule = self.file.approval
        if isinstance(rule, Above):
            return mails > rule.above
        return rule == "always" and mails > 0

    def locale_for(self, wanted: str | None) -> str:
        """The locale to write to a person in: theirs, else one of the same language, else the default."""
        if wanted in self.locales:
            return wanted
        language = (wanted or "").replace("_", "-").split("-")[0]
        same = (locale for locale in self.locales if locale.split("-")[0] == language)
        return next(same, self.file.default_locale)

    def variant(self, name: str) -> Variant:
        """Raises KeyError for a name the campaign does not have."""
        return {variant.name: variant for variant in self.file.experiment.variants}[name]


def load_campaigns(settings: Settings) -> tuple[Campaign, ...]:
    """
    Read and check every campaign folder of `include/templates`, by name.

    Raises BadConfig naming file, field and value, also for a file that is missing or that nothing would read.
    Whether the templates themselves are right is for `perennial.templates.lint` to say.
    """
    segments = {segment.name for segment in load_segments(settings)}
    shared = settings.files.shared_templates()
    festivals = load_festivals(settings)
    folders = _visible(settings.files.whole("templates"))
    campaigns = tuple(_load(folder, segments, festivals, shared) for folder in folders if folder.name[0] != "_")
    _check_sequences(campaigns)
    return campaigns


def load_campaign(name: str, settings: Settings) -> Campaign:
    """One of them. Raises BadConfig, also if there is none of that name."""
    known = {campaign.id: campaign for campaign in load_campaigns(settings)}
    if name not in known:
        raise BadConfig(f"There is no campaign {name!r}. There are: {', '.join(known)}.")
    return known[name]


def _load(folder: Path, segments: Collection[str], festivals: FestivalBook, shared: tuple[Path, ...]) -> Campaign:
    if not folder.is_dir():
        raise BadConfig(f"{folder}: this folder holds campaign folders and _shared. Move or remove the file.")
    if not re.fullmatch(_NAME, folder.name):
        raise BadConfig(f"{folder}: a campaign folder is named in lower case, such as win_back (got {folder.name!r}).")
    path = folder / "campaign.yaml"
    file = read_document(path, CampaignFile)
    audience = _condition(path, "audience.where", file.audience.where, segments)
    unless = file.trigger.after.unless.where if file.trigger.after else None
    leaves = _condition(path, "trigger.after.unless.where", unless, segments) if unless else None
    named = [("audience.exclude", name) for name in file.audience.exclude]
    named += [
        (f"trigger.{kind}.segment", change.segment)
        for kind, change in (("on_enter", file.trigger.on_enter), ("on_exit", file.trigger.on_exit))
        if change
    ]
    for field, name in named:
        if name not in segments:
            known = ", ".join(sorted(segments))
            raise BadConfig(f"{path}: field {field}: unknown segment {name!r}. Known segments: {known}.")
    if holiday := file.trigger.holiday:
        try:
            festivals.require(holiday.name, holiday.country)
        except BadConfig as error:
            raise BadConfig(f"{path}: field trigger.holiday.name: {error}") from error
    return Campaign(folder.name, folder, file, audience, _check_locales(folder, file), shared, leaves)


def _condition(path: Path, field: str, text: str, segments: Collection[str]) -> Condition:
    try:
        return parse_condition(text, AUDIENCE_COLUMNS, segments)
    except BadConfig as error:
        raise BadConfig(f"{path}: field {field}: {error}") from error


def _check_sequences(campaigns: Collection[Campaign]) -> None:
    """Every step follows a campaign that there is, and no sequence ends where it began."""
    before = {one.id: one.file.trigger.after.campaign for one in campaigns if one.file.trigger.after}
    known = {one.id: one.folder / "campaign.yaml" for one in campaigns}
    for step, parent in before.items():
        if parent not in known:
            raise BadConfig(
                f"{known[step]}: field trigger.after.campaign: there is no campaign {parent!r}. "
                f"There are: {', '.join(known)}."
            )
        seen = [step]
        while (parent := before.get(seen[-1], "")) and parent not in seen:
            seen.append(parent)
        if parent:
            raise BadConfig(
                f"{known[step]}: field trigger.after.campaign: this sequence has no beginning: "
                f"{' after '.join([*seen, parent])}."
            )


def _check_locales(folder: Path, file: CampaignFile) -> tuple[str, ...]:
    locales = [entry for entry in _visible(folder) if entry.name != "campaign.yaml"]
    for entry in locales:
        if not entry.is_dir():
            raise BadConfig(f"{entry}: nothing reads this file. Templates belong into a locale folder such as en.")
        try:
            _known_locale(entry.name)
        except ValueError as error:
            raise BadConfig(f"{entry}: {entry.name!r} {error}.") from error
        _check_files(entry, {variant.subject for variant in file.experiment.variants})
    names = tuple(entry.name for entry in locales)
    if file.default_locale not in names:
        raise BadConfig(
            f"{folder / 'campaign.yaml'}: field default_locale: there is no folder {file.default_locale!r} "
            f"(found: {', '.join(names) or 'none'})."
        )
    return names


def _check_files(locale: Path, subjects: set[str]) -> None:
    found = {entry.name for entry in _visible(locale)}
    needed = {BODY, *subjects}
    if missing := sorted(needed - found):
        raise BadConfig(f"{locale / missing[0]}: no such file; every locale has a body and a subject for each variant.")
    if unread := sorted(found - needed - {TEXT_BODY}):
        raise BadConfig(f"{locale / unread[0]}: nothing reads this file. Expected: {', '.join(sorted(needed))}.")


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError as error:
        raise BadConfig(f"{folder}: no such folder.") from error
