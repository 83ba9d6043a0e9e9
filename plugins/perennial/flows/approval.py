"""A person looks at what is planned, and says yes or no; or stops what is on its way."""

import json
import logging
from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import BaseModel

from perennial.campaigns.definition import load_campaigns
from perennial.flows import campaigns
from perennial.foundation.days import APPROVAL_COUNTS_FOR, Run, current_time
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import EVERYTHING, Approval, CampaignRun, Ledger, open_ledger
from perennial.templates.compile import compile_template
from perennial.templates.context import RenderContext
from perennial.templates.render import render

log = logging.getLogger(__name__)

_SAMPLES = 3


class Request(BaseModel):
    """What a person is asked: `body` is Markdown, without addresses and names. The answer is about `outbox_sha256`."""

    campaign: str
    send_day: date
    outbox_sha256: str
    subject: str
    body: str


def waiting(settings: Settings, send_day: date | None = None) -> list[Request]:
    """What waits for an approval, of one send day or of all."""
    with open_ledger(settings) as ledger:
        found = [run for run in ledger.campaign_runs(send_day=send_day) if run.approval is Approval.WAITING]
        return [_request(run, ledger, settings) for run in found]


def decide(
    campaign: str,
    send_day: date,
    settings: Settings,
    *,
    approved: bool,
    by: str,
    why: str,
    outbox_sha256: str | None = None,
) -> dict[str, object]:
    """
    Say yes or no to what a campaign would send; a yes queues it. The same answer again goes on where it was.

    `outbox_sha256`: what was looked at; None for what is planned now. Raises BadConfig where nothing waits, where it
    was planned anew meanwhile, and for a yes that comes too late.
    """
    with open_ledger(settings) as ledger:
        found = next(iter(ledger.campaign_runs(campaign=campaign, send_day=send_day)), None)
        if found is None:
            raise BadConfig(f"Campaign {campaign!r} is not planned for {send_day}: there is nothing to approve.")
        waited = current_time(settings) - found.frozen_at
        if approved and found.approval is Approval.WAITING and waited > APPROVAL_COUNTS_FOR:
            raise BadConfig(
                f"Campaign {campaign!r} was planned for {send_day} {_hours(waited)} ago, and a yes counts for "
                f"{_hours(APPROVAL_COUNTS_FOR)}. Reject it: its next run decides anew."
            )
        ledger.decide_approval(
            campaign,
            send_day,
            Approval.APPROVED if approved else Approval.REJECTED,
            outbox_sha256=outbox_sha256 or found.outbox.sha256,
            by=by,
            why=why,
        )
    figures: dict[str, object] = {"campaign": campaign, "send_day": send_day.isoformat(), "approved": approved}
    if approved:
        # It may be past midnight: what the run was when it decided says whether it may send.
        figures |= campaigns.queue(campaign, Run(send_day - timedelta(days=1), found.origin), settings)
    log.info("Approval: %s", figures)
    return figures


def pause(campaign: str | None, settings: Settings, *, by: str, why: str) -> bool:
    """Hand over nothing more of a campaign (None: nothing at all) until it is resumed; False where it was paused."""
    subject = _known(campaign, settings)
    with open_ledger(settings) as ledger:
        return ledger.pause(subject, by=by, why=why)


def resume(campaign: str | None, settings: Settings, *, by: str, why: str) -> bool:
    """Go on with a paused campaign (None: with all delivery); False where it was not paused."""
    with open_ledger(settings) as ledger:
        return ledger.resume(campaign or EVERYTHING, by=by, why=why)


def cancel(campaign: str, send_day: date | None, settings: Settings, *, by: str, why: str) -> dict[str, int]:
    """Call off what is left of a campaign, of one send day or of all; see `Ledger.cancel`."""
    subject = _known(campaign, settings)
    with open_ledger(settings) as ledger:
        return ledger.cancel(subject, send_day, by=by, why=why)


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.0f} hours"


def _known(campaign: str | None, settings: Settings) -> str:
    """The name under which the ledger pauses it. Raises BadConfig for one that neither folder nor ledger knows."""
    if campaign is None:
        return EVERYTHING
    known = {found.id for found in load_campaigns(settings)}
    with open_ledger(settings) as ledger:
        known |= {found.campaign for found in ledger.campaign_runs()}
    if campaign not in known:
        raise BadConfig(f"There is no campaign {campaign!r}. There are: {', '.join(sorted(known))}.")
    return campaign


def _request(found: CampaignRun, ledger: Ledger, settings: Settings) -> Request:
    before = [run for run in ledger.campaign_runs(campaign=found.campaign) if run.send_day < found.send_day]
    return Request(
        campaign=found.campaign,
        send_day=found.send_day,
        outbox_sha256=found.outbox.sha256,
        subject=f"Send {found.campaign} to {found.counts.get('send', 0):,} people on {found.send_day}?",
        body="\n".join([*_counts(found, before[-1] if before else None), "", *_samples(found, ledger, settings)]),
    )


def _counts(found: CampaignRun, before: CampaignRun | None) -> Iterator[str]:
    yield f"| decision | people | {f'on {before.send_day}' if before else 'last time'} |"
    yield "|---|---:|---:|"
    past = before.counts if before else {}
    for reason in sorted({*found.counts, *past}, key=lambda name: (name != "send", name)):
        then = f"{past.get(reason, 0):,}" if before else "never sent"
        yield f"| {reason} | {found.counts.get(reason, 0):,} | {then} |"


def _samples(found: CampaignRun, ledger: Ledger, settings: Settings) -> Iterator[str]:
    """The first mail of each locale and variant, as its receiver will read it, but for the name."""
    campaign = next(campaign for campaign in load_campaigns(settings) if campaign.id == found.campaign)
    seen: set[tuple[str, str]] = set()
    for row in ledger.read_frozen(found.outbox).select(["locale", "variant", "context"]).to_pylist():
        kind = row["locale"], row["variant"]
        if kind in seen or len(seen) == _SAMPLES:
            continue
        seen.add(kind)
        content = json.loads(row["context"]) | {"first_name": "", "unsubscribe_url": settings.public_url}
        mail = render(compile_template(campaign, *kind), RenderContext.model_validate(content))
        yield f"**{row['locale']}, variant {row['variant']}: {''.join(mail.subject)}**"
        yield ""
        yield from (f"    {line}" for line in "".join(mail.text).splitlines())
        yield ""
