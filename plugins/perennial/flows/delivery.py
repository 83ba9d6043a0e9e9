"""From the outbox to the mailbox: `deliver` is run every minute, and any run may be killed at any moment."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from uuid6 import uuid7

from perennial.delivery.journal import Holder, Journal, JournalHeld, Replay, all_replays, journal_holder, taken_over
from perennial.delivery.mime import Mail, Unsendable, clean_address, compose, split_mailbox
from perennial.delivery.provider import Letter, Provider, Result, Verdict, open_provider
from perennial.delivery.tokens import seal, signing_secret
from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, PerennialError, Permanent
from perennial.foundation.settings import Settings
from perennial.ledger import Claim, Claimed, Ledger, Outcome, State, open_ledger
from perennial.templates.compile import CompiledTemplate
from perennial.templates.context import RenderContext
from perennial.templates.render import render

log = logging.getLogger(__name__)

BATCH = 250  # messages claimed at once: what a commit costs is shared, and a withdrawal waits for one batch at most
LEASE = timedelta(minutes=15)


def deliver(settings: Settings) -> dict[str, int]:
    """
    Send what is due and return the messages by state.

    First what dead workers left is settled, then batches are claimed until nothing is due. Two at once share nothing.
    Raises Retryable naming the server when it cannot be reached (the messages wait as `retry`), Permanent when an
    old ledger was put back or the server refuses us.
    """
    with open_ledger(settings) as ledger, open_provider(settings) as provider:
        ledger.require_newest()
        writer = _Writer(settings)
        recover(ledger, settings)
        settle_unknown(ledger, provider, settings)
        while _deliver_batch(ledger, provider, writer, settings):
            pass
        return ledger.counts_by_state()


def recover(ledger: Ledger, settings: Settings) -> int:
    """
    Settle the claims of dead workers from their journals; returns how many.

    A journal nobody holds belongs to a dead worker. One that is held, or not on this host, may belong to a living
    one: its lease must expire first, and then its messages are `unknown`.
    """
    recovered = 0
    for lease in ledger.open_leases():
        try:
            with taken_over(_journals(settings), lease.lease_id) as replay:
                if replay is None and not lease.is_expired:
                    continue
                ledger.settle(lease.lease_id, _proven(replay or Replay(), lease.message_ids))
        except JournalHeld:
            if not lease.is_expired:
                continue
            ledger.settle(lease.lease_id, [])
        recovered += 1
        log.warning("Lease %s of a dead worker settled, %d messages.", lease.lease_id, len(lease.message_ids))
    return recovered


def settle_unknown(ledger: Ledger, provider: Provider, settings: Settings) -> int:
    """
    Settle `unknown` messages where the provider can tell; returns how many.

    Held by it: accepted. Not held: queued again, but only when the worker is known to be dead.
    """
    unknown = ledger.unknown(provider.name)
    held = provider.lookup(unknown) if unknown else None
    if held is None:
        return 0
    outcomes = [Outcome(message_id, State.ACCEPTED) for message_id in unknown if message_id in held]
    is_dead: dict[str | None, bool] = {None: True}  # never claimed
    for message_id, lease_id in unknown.items():
        if message_id in held:
            continue
        if lease_id is not None and lease_id not in is_dead:
            is_dead[lease_id] = journal_holder(_journals(settings), lease_id) is Holder.NOBODY
        if is_dead[lease_id]:
            outcomes.append(Outcome(message_id, State.QUEUED, reason="not in the mailbox"))
    return ledger.settle_unknown(outcomes, by=provider.name, why="looked up at the provider")


def reconcile(settings: Settings, *, by: str, restored: bool = False) -> dict[str, int]:
    """Go on with an old ledger that was put back: see `Ledger.reconcile`. The journals say what went out since."""
    handed: dict[str, bool] = {}
    for replay in all_replays(_journals(settings)):
        for message_id in [*replay.handed, *replay.results]:
            result = replay.results.get(message_id)
            is_accepted = result is not None and result.verdict is Verdict.ACCEPTED
            handed[message_id] = handed.get(message_id, False) or is_accepted
    with open_ledger(settings) as ledger:
        return ledger.reconcile(set(handed.items()), by=by, restored=restored)


def _deliver_batch(ledger: Ledger, provider: Provider, writer: "_Writer", settings: Settings) -> bool:
    lease_id = str(uuid7())
    with Journal(_journals(settings), lease_id) as journal:
        claim = ledger.claim(lease_id, provider.name, BATCH, LEASE)
        if claim is None:
            journal.discard()
            return False
        batch = _Batch(claim, ledger.objections(lease_id), journal, settings)
        try:
            for result in provider.send(batch.letters(writer), batch.hand_off):
                batch.record(result)
        except PerennialError as error:
            ledger.settle(lease_id, batch.outcomes(stopped_by=str(error)))
            raise
        ledger.settle(lease_id, batch.outcomes())
    return True


class _Writer:
    """Turns claimed messages into letters. Raises BadConfig when our own sender or secret is wrong."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = signing_secret(settings)
        try:
            self._sender = split_mailbox(settings.sender)[1]
        except Unsendable as error:
            raise BadConfig(f"PERENNIAL_SENDER: {error}") from error

    def letter(self, message: Claimed) -> Letter:
        """The letter of one message. Raises Permanent naming neither address nor content."""
        link = f"{self._settings.public_url.rstrip('/')}/unsubscribe/{seal(message.message_id, self._secret)}"
        name = f"{message.campaign}/{message.locale}"
        template = CompiledTemplate(name, message.template_hash, message.subject, message.html, message.text)
        try:
            context = RenderContext.model_validate(message.context | {"unsubscribe_url": link})
        except ValidationError as error:
            fields = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
            raise BadConfig(f"{name}: the context does not fit the template: {fields}") from error
        rendered = render(template, context)
        mail = Mail(
            message_id=message.message_id,
            sender=self._settings.sender,
            recipient=message.address,
            date=current_time(self._settings),
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            unsubscribe_url=link if message.purpose == "promotional" else None,
        )
        return Letter(message.message_id, self._sender, clean_address(message.address), compose(mail))


class _Batch:
    """One claim on its way: what was handed over, and what became of each message."""

    def __init__(self, claim: Claim, objections: dict[str, str], journal: Journal, settings: Settings) -> None:
        self._claim = claim
        self._objections = objections
        self._journal = journal
        self._settings = settings
        self._done: dict[str, Outcome] = {}
        self._handed: dict[str, datetime] = {}

    def letters(self, writer: _Writer) -> Iterator[Letter]:
        """The letters to send; what is held back or cannot be written gets its outcome here."""
        for message in self._claim.messages:
            objection = self._objections.get(message.message_id)
            if objection:
                self._done[message.message_id] = Outcome(message.message_id, State.HELD, reason=objection)
                continue
            try:
                letter = writer.letter(message)
            except Permanent as error:  # about this message only: the others go on
                self._done[message.message_id] = Outcome(message.message_id, State.FAILED, reason=str(error))
                log.warning("Message %s cannot be written: %s", message.message_id, error)
                continue
            yield letter

    def hand_off(self, message_id: str) -> None:
        """Called right before a body leaves."""
        now = current_time(self._settings)
        self._journal.mark(message_id, now)
        self._handed[message_id] = now

    def record(self, result: Result) -> None:
        """Note a result, first of all in the journal."""
        self._done[result.message_id] = _outcome(result, self._handed.get(result.message_id))
        self._journal.record(result)

    def outcomes(self, *, stopped_by: str | None = None) -> list[Outcome]:
        """An outcome for every message; what was not handed over before sending stopped is tried again later."""
        left = [
            Outcome(message.message_id, State.RETRY, reason=stopped_by)
            for message in self._claim.messages
            if message.message_id not in self._done and message.message_id not in self._handed
        ]
        return [*self._done.values(), *left]


def _outcome(result: Result, handed_at: datetime | None) -> Outcome:
    return Outcome(result.message_id, State(result.verdict.value), reply=result.reply, handed_at=handed_at)


def _proven(replay: Replay, message_ids: list[str]) -> list[Outcome]:
    """What a dead worker's journal proves about its messages; the rest is unknown."""
    outcomes = []
    for message_id in message_ids:
        handed_at = replay.handed.get(message_id)
        if message_id in replay.results:
            outcomes.append(_outcome(replay.results[message_id], handed_at))
        elif handed_at is not None:
            why = "the worker died after the hand-off"
            outcomes.append(Outcome(message_id, State.UNKNOWN, reason=why, handed_at=handed_at))
        elif replay.is_whole:
            outcomes.append(Outcome(message_id, State.QUEUED, reason="the worker died before the hand-off"))
    return outcomes


def _journals(settings: Settings) -> Path:
    return settings.ledger_dir / "journal"
