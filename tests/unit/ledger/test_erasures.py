from datetime import timedelta

from outbox import CAMPAIGN, fill, new_message, run_in
from perennial.contracts.erased import salted
from perennial.foundation.days import current_time
from perennial.ledger import EventKind, NewConsent, NewEvent, Outcome, State, address_hash, pseudonym

LEASE = timedelta(minutes=15)
ADDRESS = "person0@mail.example"
HASH = address_hash(ADDRESS)


def _told(ledger, table):
    return [row for batch in ledger.changes(table, None) for row in batch]


def _event(settings, message_id, event_id):
    told = {"email": ADDRESS}
    return NewEvent(event_id, message_id, EventKind.CLICKED, current_time(settings), provider="test", details=told)


def test_who_was_erased_is_known_by_salted_hashes_alone_and_an_erasure_goes_on(ledger, settings):
    assert not ledger.erased()
    erasure_id = ledger.begin_erasure(["ref:7", "email:a@b.example"], by="ann", why="asked")
    assert ledger.begin_erasure(["email:a@b.example", "card:1"], by="bob", why="again") == erasure_id
    assert ledger.begin_erasure(["ref:8"], by="ann", why="asked") != erasure_id
    assert ledger.erasure_of(["email:A@B.example"]) == erasure_id
    assert ledger.erasure_of(["phone:7"]) is None
    erased = ledger.erased()
    assert erased.hashes == {salted(one, erased.salt) for one in ("ref:7", "ref:8", "email:a@b.example", "card:1")}
    ledger.record_receipt(erasure_id, "landing", {"files": 2})
    ledger.record_receipt(erasure_id, "landing", {"files": 0})
    assert ledger.receipts(erasure_id) == {"landing": {"done_at": current_time(settings), "files": 2}}


def test_messages_stay_for_the_figures_without_their_person(ledger, settings):
    fill(ledger, settings, 2)
    claim = ledger.claim("lease", "mailbox", 5, LEASE)
    mine = next(one.message_id for one in claim.messages if one.customer_id == "c0")
    outcomes = [Outcome(one.message_id, State.ACCEPTED, reply=f"250 {one.address}") for one in claim.messages]
    waiting = new_message(0, settings, occurrence="next", customer_id="former")
    ledger.queue(run_in(settings), CAMPAIGN, "mailbox", [waiting])
    assert ledger.erase_person(["c0", "former"], [HASH])["on_their_way"] == 1  # and is left until it is settled
    ledger.settle("lease", outcomes)
    ledger.record_events([_event(settings, mine, "e1")])
    ledger.append_consents([NewConsent("email", "granted", current_time(settings), HASH, "c0", proof="signed")])
    ledger.suppress([HASH], "by_hand")

    held = ledger.held_about(["c0", "former"], [HASH])
    assert {table: len(rows) for table, rows in held.items()} == {
        "messages": 1, "message_events": 1, "survey_answers": 0, "consents": 1, "suppressions": 1, "subscriptions": 0,
        "set_aside_events": 0,
    }  # fmt: skip
    assert held["messages"][0]["address"] == ADDRESS
    done = ledger.erase_person(["c0", "former"], [HASH])
    assert done == {
        "messages": 1, "cancelled": 0, "on_their_way": 0, "consents": 1, "suppressions": 1, "subscriptions": 0,
        "set_aside_events": 0,
    }  # fmt: skip
    assert ledger.erase_person(["c0", "former"], [HASH]) == dict.fromkeys(done, 0)
    assert ledger.held_about(["c0", "former"], [HASH]) == {table: [] for table in held}

    salt = ledger.erased().salt
    left = ledger.held_about([pseudonym("c0", salt), pseudonym("former", salt)], [salted(HASH, salt)])
    assert {(row["state"], row["address"], row["context"], row["provider_reply"]) for row in left["messages"]} == {
        ("accepted", "", None, None), ("cancelled", "", None, None),
    }  # fmt: skip
    assert [(row["state"], row["proof"], row["customer_ref"]) for row in left["consents"]] == [("granted", None, None)]
    assert [row["details"] for row in left["message_events"]] == [{}]
    assert ledger.record_events([_event(settings, mine, "late")]) == 1
    assert {row["kind"] for row in _told(ledger, "message_events")} == {"clicked"}
    late = ledger.held_about([pseudonym("c0", salt)], [])["message_events"]
    assert [row["details"] for row in late] == [{}, {}]
    assert ledger.counts_by_state() == {"accepted": 2, "cancelled": 1}


def test_a_mail_to_somebody_erased_is_held_at_the_last_moment(ledger, settings):
    fill(ledger, settings, 2)
    ledger.begin_erasure([f"email:{ADDRESS}"], by="ann", why="asked")
    claim = ledger.claim("lease", "mailbox", 5, LEASE)
    by_id = {one.message_id: one.customer_id for one in claim.messages}
    assert {by_id[one]: why for one, why in ledger.objections("lease").items()} == {"c0": "erased"}


def test_a_mail_of_somebody_erased_that_may_have_left_is_not_looked_up_and_sent_again(ledger, settings):
    fill(ledger, settings, 2)
    ledger.claim("lease", "mailbox", 5, LEASE)
    ledger.settle("lease", [])
    assert len(ledger.unknown("mailbox")) == 2
    ledger.erase_person(["c0"], [HASH])
    assert len(ledger.unknown("mailbox")) == 1
    assert ledger.counts_by_state() == {"unknown": 2}


def test_nothing_of_what_was_erased_is_left_in_the_file(ledger, settings):
    fill(ledger, settings, 1)
    ledger.erase_person(["c0"], [HASH])
    ledger.compact()
    if settings.ledger is None:
        assert ADDRESS.encode() not in b"".join(one.read_bytes() for one in settings.ledger_dir.glob("ledger.sqlite*"))
