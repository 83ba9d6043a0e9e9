"""The moment from which a mail may go out: a time of day where its receiver is, outside quiet hours."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from perennial.campaigns.contact_policy import QuietHours


@lru_cache(maxsize=65_536)  # a day's mails share a few zones and hours
def not_before(send_day: date, local_time: time, zone: ZoneInfo, quiet: QuietHours | None = None) -> datetime:
    """
    When `local_time` comes on `send_day` in `zone`, in UTC; within quiet hours, when they end.

    A time that the clocks jump over comes when they have jumped; of one that comes twice the first counts, and for the
    end of quiet hours the second, so that no clock on the wall shows a quiet hour.
    """
    moment = datetime.combine(send_day, local_time, zone).astimezone(UTC)
    if quiet is None:
        return moment
    local = moment.astimezone(zone)
    if not _is_quiet(local.time(), quiet):
        return moment
    ends = local.date() + timedelta(days=1) if local.time() >= quiet.end else local.date()
    end = datetime.combine(ends, quiet.end, zone)
    return max(end.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _is_quiet(local: time, quiet: QuietHours) -> bool:
    if quiet.begin <= quiet.end:
        return quiet.begin <= local < quiet.end
    return local >= quiet.begin or local < quiet.end
