"""
Erase a person from all that we hold, store by store, with a receipt for each.

First of all the ledger keeps salted hashes of what names them: from then on no file, no event and no mail brings them
back. Then they are left out of the landing, the mailbox, the frozen files and the ledger; the warehouse is made anew
from what is left, and older publications go. What was bought, sent and answered stays in the sums, as of nobody. It may
be killed at any moment: run again, it goes on, because the warehouse, by which people are found, forgets them last.
"""

import gzip
import logging
import re
import shutil
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from perennial.delivery.journal import JournalHeld, taken_over
from perennial.flows import persons, rebuild
from perennial.flows.persons import Person
from perennial.flows.publications import latest
from perennial.flows.retention import leave_out_erased
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import CampaignRun, FrozenFile, Ledger, open_ledger, pseudonym
from perennial.sources import landed, load_sources
from perennial.warehouse import Warehouse, open_warehouse

log = logging.getLogger(__name__)

_SEARCHED = 1 << 24  # bytes at once
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


def erase(whom: Sequence[str], settings: Settings, *, by: str, why: str) -> dict[str, Any]:
    """
    Erase the people of these customer numbers or addresses, the warehouse being made anew once.

    Returns what the rest is `waiting` for, and the receipts by erasure. Raises BadConfig for somebody unknown, and for
    an address that several people share: before that, nobody's erasure is at its end.
    """
    waiting: list[str] = []
    with open_ledger(settings) as ledger:
        erasures: dict[str, bool] = {}
        with open_warehouse(settings) as warehouse:
            for who in whom:
                person, erasure_id = _begun(who.strip(), warehouse, ledger, settings, by=by, why=why)
                waits, is_changed = _from_stores(person, erasure_id, warehouse, ledger, settings)
                waiting += waits
                erasures[erasure_id] = is_changed or "warehouse" not in ledger.receipts(erasure_id)
        if not waiting:
            if any(erasures.values()):
                for _, step in rebuild.steps(settings):
                    step()
            older = _remove_publications(settings)
            ledger.compact()
            for erasure_id in erasures:
                ledger.record_receipt(erasure_id, "warehouse", {"is_rebuilt": True})
                ledger.record_receipt(erasure_id, "published", {"older_removed": older})
        found = {erasure_id: ledger.receipts(erasure_id) for erasure_id in erasures}
    log.info("%d erasure(s): %s", len(found), f"waiting for {', '.join(waiting)}" if waiting else "done")
    return {"waiting": list(dict.fromkeys(waiting)), **found}


def _begun(
    who: str, warehouse: Warehouse, ledger: Ledger, settings: Settings, *, by: str, why: str
) -> tuple[Person, str]:
    """The person, empty once the warehouse has forgotten them, and the erasure: a new one, or the one that goes on."""
    begun = ledger.erasure_of([f"email:{who}" if "@" in who else f"number:{who}"])
    try:
        person = persons.find(who, warehouse, ledger, settings)
    except BadConfig:
        if begun is None:
            raise
        return Person((), (), ()), begun
    named = [*person.own, *(f"number:{number}" for number in person.customer_ids)]
    return person, ledger.begin_erasure(named, by=by, why=why)


def _from_stores(
    person: Person, erasure_id: str, warehouse: Warehouse, ledger: Ledger, settings: Settings
) -> tuple[list[str], bool]:
    """Everything but warehouse and publications; returns what has to be waited for, and whether anything was there."""
    waiting = []

    def receipt(store: str, details: dict[str, Any]) -> bool:
        ledger.record_receipt(erasure_id, store, details)
        return any(details.values())

    files, pulls = _from_landing(person, warehouse, ledger, settings)
    if pulls:
        waiting.append("the next pull of a database or shop, whose newest one is still needed (then run this again)")
    is_changed = bool(files) if pulls else receipt("landing", {"files": files})
    messages = ledger.held_about(person.customer_ids, person.address_hashes)["messages"]
    message_ids, providers = [row["message_id"] for row in messages], {row["provider"] for row in messages}
    is_changed |= receipt("mailbox", {"mails": _from_mailbox(message_ids, settings)})
    is_changed |= receipt("journals", {"files": _from_journals(person.addresses, settings)})
    is_changed |= receipt("frozen_files", {"files": _from_frozen_files(person, ledger, settings)})
    done = ledger.erase_person(person.customer_ids, person.address_hashes, persons.telling(person))
    if done["on_their_way"]:
        waiting.append("mail that is just being sent (run this again in some minutes)")
    else:
        is_changed |= receipt("ledger", done)
    left = "nothing was ever sent by one"
    if providers:
        left = f"take the addresses out of the lists and logs of: {', '.join(sorted(providers))}"
    ledger.record_receipt(erasure_id, "providers", {"left_to_you": left})
    yours = sorted(str(path) for path in _files_of_yours(settings) if _names(path, persons.telling(person)))
    ledger.record_receipt(erasure_id, "files_of_yours", {"left_to_you": yours})
    return waiting, is_changed


def _from_landing(person: Person, warehouse: Warehouse, ledger: Ledger, settings: Settings) -> tuple[int, int]:
    """Copies written anew, and those that wait. Of files that were never taken in, those that name them are emptied."""
    erased, words = ledger.erased(), persons.telling(person)
    naming = persons.files_naming(person, warehouse, settings)
    loaded = {
        (row["source"], row["file"], row["version"])
        for row in warehouse.query("select source, file, version from raw.files where status = 'loaded'").to_pylist()
    }
    files = waiting = 0
    for source in load_sources(settings).values():
        found = naming.get(source.name, set())
        for entry in landed(source.name, settings):
            is_loaded = (source.name, entry.file, entry.version) in loaded or entry.duplicate_of is not None
            if not is_loaded and _names(settings.landing_dir / entry.path, words):
                found.add((entry.file, entry.version))
        left_out = leave_out_erased(warehouse, source, erased, settings, found)
        files += left_out.files
        waiting += left_out.waiting
    return files, waiting


def _from_mailbox(message_ids: Collection[str], settings: Settings) -> int:
    theirs = set(message_ids)
    mails = [path for path in settings.mailbox_dir.glob("*.eml") if theirs.intersection(path.stem.split("_"))]
    for path in mails:
        path.unlink(missing_ok=True)
    return len(mails)


def _from_journals(addresses: Collection[str], settings: Settings) -> int:
    """Hand-off journals hold message ids and replies; a server may have said the address in its own spelling."""
    if not addresses:
        return 0
    said = re.compile("|".join(re.escape(address) for address in addresses).encode(), re.IGNORECASE)
    cleaned = 0
    folder = settings.ledger_dir / "journal"
    for path in sorted(folder.glob("*.journal")):
        if not said.search(path.read_bytes()):
            continue
        try:
            with taken_over(folder, path.stem):
                _put(path, said.sub(b"<recipient>", path.read_bytes()))
                cleaned += 1
        except JournalHeld:
            log.warning("%s is in use; it is cleaned when this is run again.", path.name)
    return cleaned


def _from_frozen_files(person: Person, ledger: Ledger, settings: Settings) -> int:
    """Outboxes lose the person's rows, decisions the number; returns the files written anew."""
    salt = ledger.erased().salt
    numbers = pa.array(person.customer_ids, pa.string())
    written = 0
    for run in ledger.campaign_runs():
        replaced: dict[str, FrozenFile | None] = {"decisions": None, "outbox": None}
        for kind, file in (("decisions", run.decisions), ("outbox", run.outbox)):
            if not (settings.ledger_dir / file.path).exists():
                continue  # purged
            rows = ledger.read_frozen(file)
            theirs = pc.is_in(rows["customer_id"], numbers)
            if "address" in rows.column_names:
                theirs = pc.or_(
                    theirs, pc.is_in(pc.utf8_lower(rows["address"]), pa.array(person.addresses, pa.string()))
                )
            if not pc.any(theirs).as_py():
                continue
            if kind == "outbox":
                rows = rows.filter(pc.invert(theirs))
            else:
                names = [
                    pseudonym(one, salt) if one in person.customer_ids else one
                    for one in rows["customer_id"].to_pylist()
                ]
                rows = rows.set_column(
                    rows.schema.get_field_index("customer_id"), "customer_id", pa.array(names, pa.string())
                )
            replaced[kind] = ledger.write_frozen(f"{run.campaign}.{kind}", run.send_day, rows)
            written += 1
        if any(replaced.values()):
            ledger.replace_frozen(
                run.campaign, run.send_day, decisions=replaced["decisions"], outbox=replaced["outbox"]
            )
    _remove_replaced(ledger.campaign_runs(), settings)
    return written


def _remove_replaced(runs: list[CampaignRun], settings: Settings) -> None:
    """Files of frozen runs that no run names any more; those of a kill, too."""
    named = {file.path for run in runs for file in (run.decisions, run.outbox)}
    for run in runs:
        folder = Path("decisions") / run.send_day.isoformat()
        for kind in ("decisions", "outbox"):
            for path in (settings.ledger_dir / folder).glob(f"{run.campaign}.{kind}.*.parquet"):
                if str(folder / path.name) not in named:
                    path.unlink(missing_ok=True)


def _remove_publications(settings: Settings) -> int:
    """All but the newest: they name the person by the number."""
    home, newest = settings.published_dir, latest(settings.published_dir)
    old = [path for path in home.glob("*") if path.is_dir() and not path.is_symlink() and path.name != newest]
    for path in old:
        shutil.rmtree(path)
    return len(old)


def _files_of_yours(settings: Settings) -> Iterator[Path]:
    """What others put there, the inbox and the bounce mailbox; and what came from sources that are no more."""
    sources = load_sources(settings)
    left = [folder for folder in settings.landing_dir.glob("*/") if folder.name not in sources]
    for folder in (settings.inbox_dir, settings.bounce_mailbox, *left):
        if folder is not None and folder.is_dir():
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _names(path: Path, words: Collection[str]) -> bool:
    """Whether one of the words stands in a file, packed or not, in upper or lower case."""
    needles = [word.encode(encoding) for word in words for encoding in _ENCODINGS]
    if not needles:
        return False
    longest = max(map(len, needles))
    last = b""
    try:
        with _opened(path) as file:
            while block := file.read(_SEARCHED):
                text = last + block.lower()
                if any(needle in text for needle in needles):
                    return True
                last = text[-longest:]
    except (OSError, EOFError, zlib.error):  # gone or damaged
        return False
    return False


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path))
    if path.suffix == ".zst":
        return cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _put(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
