"""From the outbox to the mailbox: `deliver` is run every minute, and any run may be killed at any moment."""

import logging
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from uuid6 import uuid7

from perennial.delivery.journal import (
    Holder,
    Journal,
    JournalHeld,
    Replay,
    Unwritable,
    all_replays,
    journal_holder,
    taken_over,
)
from perennial.delivery.mime import split_mailbox
from perennial.delivery.provider import Letter, Mail, Provider, Result, Unsendable, Verdict, open_provider
from perennial.flows.links import Links
from perennial.flows.writing import compiled, written
from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig, PerennialError, Permanent
from perennial.foundation.settings import Settings
from perennial.ledger import Claim, Claimed, Ledger, Outcome, State, open_ledger
from perennial.templates.compile import CompiledTemplate

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)
LOOK_AGAIN = 1.0  # seconds after which a worker asks once more who has said no


def deliver(settings: Settings) -> dict[str, int]:
    """
    Send what is due and return the messages by state.

    First what dead workers left is settled, then batches are claimed until nothing is due, waiting where
    `delivery_per_minute` says so. Two at once share nothing.
    Raises Retryable naming the server when it cannot be reached (the messages wait as `retry`), Permanent when an
    old ledger was put back or the server refuses us. After a while of that the fallback stands in, if there is one.
    """
    with open_ledger(settings) as ledger:
        ledger.require_newest()
        recover(ledger, settings)
        trouble = _deliver_by(settings.delivery, ledger, settings)
        if settings.delivery_fallback:
            if _fail_over(ledger, settings.delivery_fallback, settings):
                trouble = None
            trouble = _deliver_by(settings.delivery_fallback, ledger, settings) or trouble
        if trouble:
            raise trouble
        return ledger.counts_by_state()


def _deliver_by(name: str, ledger: Ledger, settings: Settings) -> PerennialError | None:
    """Send what is due by one provider; returns what stopped it: it cannot be reached, or refuses us."""
    with open_provider(name, settings) as provider:
        writer = _Writer(settings, provider)
        settle_unknown(ledger, provider, settings)
        try:
            while _deliver_batch(ledger, provider, writer, settings) or _next_minute(ledger, provider, settings):
                pass
        except _Trouble as trouble:
            ledger.note_trouble(name, str(trouble.error))
            return trouble.error
    return None


def _fail_over(ledger: Ledger, fallback: str, settings: Settings) -> bool:
    """Give what waits to the fallback, if the trouble lasts for long enough; whether anything was given."""
    patience = timedelta(minutes=settings.delivery_fallback_after)
    moved = ledger.fail_over(settings.delivery, fallback, patience)
    if moved:
        log.warning("%s is in trouble: %d messages go by %s.", settings.delivery, moved, fallback)
    return moved > 0


class _Trouble(Exception):
    """The provider cannot be reached, or refuses us whatever the letter."""

    def __init__(self, error: PerennialError) -> None:
        super().__init__(str(error))
        self.error = error


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


def settle_unknown(ledger: Ledger, provider: Provider[Any], settings: Settings) -> int:
    """
    Settle `unknown` messages where the provider can tell; returns how many.

    Held by it: accepted. Not held: queued again, but only when the worker is known to be dead. SMTP cannot tell: what
    was handed over and did not come back in three days is presumed to be accepted.
    """
    if provider.name == "smtp":
        return ledger.presume_accepted(provider.name)
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


def settle_by_hand(message_ids: Collection[str], state: str, settings: Settings, *, by: str, why: str) -> int:
    """
    Settle unknown messages as a person found out: accepted, failed, cancelled, or queued to be sent again.

    Returns how many there were. Raises Permanent for another state and for a message that is not unknown.
    """
    with open_ledger(settings) as ledger:
        known = {row["message_id"] for row in ledger.unknown_messages()}
        if others := [message_id for message_id in message_ids if message_id not in known]:
            raise Permanent(f"Not unknown: {', '.join(others)}. Nothing was settled; see `perennial messages unknown`.")
        return ledger.settle_unknown([Outcome(message_id, State(state)) for message_id in message_ids], by=by, why=why)


def _deliver_batch(ledger: Ledger, provider: Provider[Any], writer: "_Writer", settings: Settings) -> bool:
    lease_id = str(uuid7())
    with Journal(_journals(settings), lease_id) as journal:
        claim = ledger.claim(lease_id, provider.name, provider.at_once, LEASE, per_minute=settings.delivery_per_minute)
        if claim is None:
            journal.discard()
            return False
        batch = _Batch(claim, ledger, journal, settings)
        try:
            for result in provider.send(batch.letters(writer), batch.hand_off):
                batch.record(result)
        except PerennialError as error:
            _settle(ledger, batch, provider, stopped_by=str(error))
            if isinstance(error, Unwritable):
                raise
            raise _Trouble(error) from error
        _settle(ledger, batch, provider)
    return True


def _next_minute(ledger: Ledger, provider: Provider[Any], settings: Settings) -> bool:
    """Where more is due than this minute may take: wait for the next one. Under the demo clock there is no next."""
    if settings.delivery_per_minute is None or settings.now is not None or not ledger.has_due(provider.name):
        return False
    now = current_time(settings)
    sleep(60 - now.second - now.microsecond / 1_000_000)
    return True


def _settle(ledger: Ledger, batch: "_Batch", provider: Provider[Any], *, stopped_by: str | None = None) -> None:
    ledger.settle(batch.lease_id, batch.outcomes(stopped_by=stopped_by))
    if batch.was_answered:
        ledger.note_working(provider.name)


class _Writer:
    """Turns claimed messages into the provider's letters. Raises BadConfig when our own sender or secret is wrong."""

    def __init__(self, settings: Settings, provider: Provider[Any]) -> None:
        self._settings = settings
        self._provider = provider
        self._links = Links(settings, provider.name)
        try:
            split_mailbox(settings.sender)
        except Unsendable as error:
            raise BadConfig(f"PERENNIAL_SENDER: {error}") from error

    def letter(self, message: Claimed, template: CompiledTemplate) -> Letter:
        """The letter of one message. Raises Permanent naming neither address nor content."""
        rendered, own = written(message, template, self._links)
        mail = Mail(
            message_id=message.message_id,
            campaign=message.campaign,
            sender=self._settings.sender,
            recipient=message.address,
            date=current_time(self._settings),
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            unsubscribe_url=own["unsubscribe_url"] if message.purpose == "promotional" else None,
        )
        letter: Letter = self._provider.prepare(mail)
        return letter


class _Batch:
    """One claim on its way: what was handed over, and what became of each message."""

    def __init__(self, claim: Claim, ledger: Ledger, journal: Journal, settings: Settings) -> None:
        self.lease_id = claim.lease_id
        self._claim = claim
        self._ledger = ledger
        self._objections: dict[str, str] = {}
        self._looked = -inf
        self._journal = journal
        self._settings = settings
        self._done: dict[str, Outcome] = {}
        self._handed: dict[str, datetime] = {}

    def letters(self, writer: _Writer) -> Iterator[Letter]:
        """The letters to send; what is held back or cannot be written gets its outcome here."""
        templates = {key: compiled(template) for key, template in self._claim.templates.items()}
        for message in self._claim.messages:
            if objection := self._objection(message.message_id):
                self._done[message.message_id] = Outcome(message.message_id, State.HELD, reason=objection)
                continue
            try:
                letter = writer.letter(message, templates[message.template_hash])
            except Permanent as error:  # about this message only: the others go on
                self._done[message.message_id] = Outcome(message.message_id, State.FAILED, reason=str(error))
                log.warning("Message %s cannot be written: %s", message.message_id, error)
                continue
            yield letter

    def _objection(self, message_id: str) -> str | None:
        """What speaks against a message by now: where mail leaves slowly a batch takes minutes, and people say no."""
        if monotonic() - self._looked >= LOOK_AGAIN:
            self._objections = self._ledger.objections(self.lease_id)
            self._looked = monotonic()
        return self._objections.get(message_id)

    def hand_off(self, message_id: str) -> None:
        """Called right before a body leaves."""
        now = current_time(self._settings)
        self._journal.mark(message_id, now)
        self._handed[message_id] = now

    def record(self, result: Result) -> None:
        """Note a result, first of all in the journal."""
        self._done[result.message_id] = _outcome(result, self._handed.get(result.message_id))
        self._journal.record(result)

    @property
    def was_answered(self) -> bool:
        """Whether the provider said yes or no to a letter."""
        return any(outcome.reply and outcome.state in (State.ACCEPTED, State.FAILED) for outcome in self._done.values())

    def outcomes(self, *, stopped_by: str | None = None) -> list[Outcome]:
        """An outcome for every message; what was not handed over before sending stopped is tried again later."""
        left = [
            Outcome(message.message_id, State.RETRY, reason=stopped_by)
            for message in self._claim.messages
            if message.message_id not in self._done and message.message_id not in self._handed
        ]
        return [*self._done.values(), *left]


@lru_cache(maxsize=256)  # the same object batch after batch: rendering looks its sources up by their hash, kept in them
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
