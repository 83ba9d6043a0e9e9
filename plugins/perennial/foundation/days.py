"""Business days, the clock, and what a run of one day is. Nothing else asks what time it is."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings

APPROVAL_COUNTS_FOR = timedelta(hours=24)
"""How long after planning a yes may come; later what was decided is stale, and the answer is no."""


def current_time(settings: Settings) -> datetime:
    """Now, in UTC; under the demo clock always its moment."""
    return settings.now.astimezone(UTC) if settings.now else datetime.now(UTC)


def yesterday(settings: Settings) -> date:
    """The newest business day that is over."""
    return current_time(settings).astimezone(settings.zone).date() - timedelta(days=1)


def zone_of(name: str | None, settings: Settings) -> ZoneInfo:
    """A person's time zone; the business's where theirs is not known."""
    try:
        return ZoneInfo(name) if name else settings.zone
    except (ValueError, KeyError, OSError):
        return settings.zone


class Origin(StrEnum):
    """Why a day is run. Only LIVE and DEMO may queue mail, DEMO only into the local mailbox."""

    LIVE = "live"  # the clock's yesterday, by schedule or explicitly
    DEMO = "demo"  # the same under the demo clock
    BACKFILL = "backfill"  # a past day, for its tables
    REPLAY = "replay"  # a day run again, or of unknown origin

    @property
    def may_queue(self) -> bool:
        return self in (Origin.LIVE, Origin.DEMO)


@dataclass(frozen=True)
class Run:
    """One business day being processed: what every flow is given."""

    day: date
    origin: Origin

    @property
    def send_day(self) -> date:
        """The day on which what this run decides goes out."""
        return self.day + timedelta(days=1)


def run_of(day: date, settings: Settings, origin: Origin | None = None) -> Run:
    """
    The run of `day`; without an origin it is live (or demo) for the clock's yesterday and a replay otherwise.

    Raises BadConfig for a day that is not over, for a live run of a day other than yesterday, and for one under the
    demo clock.
    """
    newest = yesterday(settings)
    if day > newest:
        raise BadConfig(f"Day {day} is not over yet: the newest day that can be run is {newest}.")
    if origin is None:
        sending = Origin.DEMO if settings.now else Origin.LIVE
        origin = sending if day == newest else Origin.REPLAY
    if origin is Origin.LIVE and settings.now:
        raise BadConfig(
            f"Under the demo clock (PERENNIAL_NOW, or {settings.demo_clock}) no run is live: leave the origin out, or "
            "take the clock away to send for real."
        )
    if origin.may_queue and day != newest:
        raise BadConfig(f"Only the clock's yesterday ({newest}) can be run {origin}; run {day} as backfill or replay.")
    return Run(day, origin)
