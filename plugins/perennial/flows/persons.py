"""Who somebody is, in all we hold: found by a customer number or an address, and handed out to them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from perennial.contracts import Contract, load_contracts
from perennial.contracts.erased import identifiers_in, mentions_any
from perennial.contracts.staging import identity_of
from perennial.foundation.days import current_time
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import Settings
from perennial.ledger import Ledger, address_hash, open_ledger
from perennial.warehouse import Warehouse, open_warehouse

_TELLING = 5  # characters from which on an identifier is looked for in the text of refused rows
_NOT_OURS = ("touched", "state", "rules", "published", "macros")  # schemas that tell nothing of people, or copies
_NUMBERS = ("customer_id", "former_id")


@dataclass(frozen=True)
class Person:
    """
    One person by all their names: customer numbers, the newest first, and what rows name them by.

    `identities` are what a row can be about (`ref:7`, `email:ada@example.com`), `identifiers` what rows about them
    name; `shared` are those that rows about others name, too.
    """

    customer_ids: tuple[str, ...]
    identities: tuple[str, ...]
    identifiers: tuple[str, ...]
    shared: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """The identifiers that name nobody else."""
        return tuple(one for one in self.identifiers if one not in self.shared)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Their e-mail addresses, in lower case."""
        return tuple(one.removeprefix("email:") for one in self.identifiers if one.startswith("email:"))

    @property
    def address_hashes(self) -> tuple[str, ...]:
        return tuple(address_hash(address) for address in self.addresses)


def find(who: str, warehouse: Warehouse, ledger: Ledger, settings: Settings) -> Person:
    """
    The person who is known by a customer number, also a former one, or by an e-mail address.

    An address that only the ledger knows is a person of that address alone. Raises BadConfig for an unknown number or
    address, and for an address that several people share: then say which of them.
    """
    contracts = [contract for contract in load_contracts(settings).values() if identity_of(contract)]
    if "core.identities" not in warehouse.tables():
        raise BadConfig("Nothing has been loaded yet. Run a day first, for example `perennial run`.")
    if "@" in who:
        numbers = _numbers_of_address(who.lower(), contracts, warehouse)
    else:
        sql = "select distinct customer_id from core.identities where customer_id = $who or known_as = $who"
        numbers = warehouse.query(sql, who=who)["customer_id"].to_pylist()
        if not numbers:
            raise BadConfig(f"Customer {who!r} is not known.")
    if len(numbers) > 1:
        raise BadConfig(f"Several people have this address: {', '.join(sorted(numbers))}. Name one by the number.")
    if not numbers:
        person = Person((), (f"email:{who.lower()}",), (f"email:{who.lower()}",))
        if not any(ledger.held_about((), person.address_hashes).values()):
            raise BadConfig("Nobody is known by this address.")
        return person
    rows = warehouse.query(
        "select identity, known_as from core.identities where customer_id = $number order by identity",
        number=numbers[0],
    ).to_pylist()
    identities = tuple(row["identity"] for row in rows)
    known_as = {row["known_as"] for row in rows if row["known_as"]} - {numbers[0]}
    named, shared = _identifiers(identities, contracts, warehouse)
    if "@" in who:
        named.add(f"email:{who.lower()}")
    named |= {one for one in identities if not one.startswith("device:")}
    return Person((numbers[0], *sorted(known_as)), identities, tuple(sorted(named)), tuple(sorted(shared)))


def export(who: str, into: Path, settings: Settings) -> dict[str, object]:
    """
    Write all that is held about a person into a new folder, for them: JSON, a line a row, a file a table.

    Returns the rows of each file. Raises BadConfig as `find` does, and for a folder that is not empty.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BadConfig(f"{into} is not empty: name a new folder.")
    figures: dict[str, object] = {}
    with open_ledger(settings) as ledger, open_warehouse(settings) as warehouse:
        person = find(who.strip(), warehouse, ledger, settings)
        into.mkdir(parents=True, exist_ok=True, mode=0o700)
        for table, rows in _rows_about(person, warehouse, settings):
            figures[table] = _write(into / "warehouse" / f"{table}.jsonl", rows)
        for table, rows in ledger.held_about(person.customer_ids, person.address_hashes, telling(person)).items():
            figures[f"ledger.{table}"] = _write(into / "ledger" / f"{table}.jsonl", rows)
    about = asdict(person) | {"exported_at": current_time(settings), "rows": figures}
    (into / "person.json").write_text(_json(about, indent=2) + "\n", encoding="utf-8")
    return figures


def refused_rows(person: Person, warehouse: Warehouse) -> pa.Table:
    """The refused rows in whose text one of the person's identifiers stands, as they are in quarantine."""
    words = {f"word{n}": word for n, word in enumerate(telling(person))}
    condition = " or ".join(f"strpos(lower(content), ${name}) > 0" for name in words) or "false"
    return warehouse.query(f"select * from quarantine.rows where {condition}", **words)


def telling(person: Person) -> list[str]:
    """What to look for in text: the identifiers that are the person's alone, in lower case, if they tell enough."""
    names = {name.lower() for _, _, name in (one.partition(":") for one in person.own)}
    return sorted(name for name in names if len(name) >= _TELLING)


def files_naming(person: Person, warehouse: Warehouse, settings: Settings) -> dict[str, set[tuple[str, int]]]:
    """By source, the landed files (file, version) of which an accepted or a refused row names the person."""
    _load(warehouse, "person_identifiers", "named", person.own)
    found: dict[str, set[tuple[str, int]]] = {}
    for contract in load_contracts(settings).values():
        rows = warehouse.query(
            f"select distinct _source as source, _file as file, _version as version from raw.{contract.name}"
            f" where {mentions_any(contract, 'person_identifiers')}"
        ).to_pylist()
        for row in [*rows, *refused_rows(person, warehouse).to_pylist()]:
            found.setdefault(row["source"], set()).add((row["file"], row["version"]))
    return found


def _numbers_of_address(address: str, contracts: list[Contract], warehouse: Warehouse) -> list[str]:
    """The numbers of those whose rows name the address, in this spelling or in its plain form."""
    rows = " union ".join(
        f"select {identity_of(contract)} as identity from raw.{contract.name} where lower(email) = $address"
        for contract in contracts
        if "email" in contract.columns
    )
    sql = f"""
        select distinct identities.customer_id
        from core.identities as identities
        join ({rows} union select 'email:' || $address as identity) as named on identities.identity = named.identity
    """
    found: list[str] = warehouse.query(sql, address=address)["customer_id"].to_pylist()
    return found


def _identifiers(
    identities: tuple[str, ...], contracts: list[Contract], warehouse: Warehouse
) -> tuple[set[str], set[str]]:
    """What rows about these identities name, and what of it rows about others name as well."""
    _load(warehouse, "person_identities", "identity", identities)
    mine = "in (select identity from person_identities)"
    named: set[str] = set()
    for contract in contracts:
        for identifier in identifiers_in(contract).values():
            sql = f"select distinct {identifier} as named from raw.{contract.name} where {identity_of(contract)} {mine}"
            named.update(filter(None, warehouse.query(sql)["named"].to_pylist()))
    _load(warehouse, "person_identifiers", "named", sorted(named | set(identities)))
    shared: set[str] = set()
    for contract in contracts:
        for identifier in identifiers_in(contract).values():
            sql = f"""
                select distinct {identifier} as named
                from raw.{contract.name}
                where {identifier} in (select named from person_identifiers)
                    and not coalesce({identity_of(contract)} {mine}, false)
            """
            shared.update(warehouse.query(sql)["named"].to_pylist())
    return named, shared


def _rows_about(person: Person, warehouse: Warehouse, settings: Settings) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each table with the rows of the person in it: accepted and refused rows, and what was made of them."""
    contracts = load_contracts(settings)
    _load(warehouse, "person_identities", "identity", person.identities)
    _load(warehouse, "person_numbers", "number", person.customer_ids)
    for table in warehouse.tables():
        schema, _, name = table.partition(".")
        if schema in _NOT_OURS:
            continue
        columns = warehouse.columns(table)
        conditions = [f"{one} in (select number from person_numbers)" for one in _NUMBERS if one in columns]
        if schema == "raw" and name in contracts and (identity := identity_of(contracts[name])):
            conditions.append(f"{identity} in (select identity from person_identities)")
        elif "identity" in columns:
            conditions.append("identity in (select identity from person_identities)")
        if conditions and (rows := warehouse.query(f"select * from {table} where {' or '.join(conditions)}")):
            yield table, rows.to_pylist()
    if refused := refused_rows(person, warehouse):
        yield "quarantine.rows", refused.to_pylist()


def _load(warehouse: Warehouse, table: str, column: str, values: tuple[str, ...] | list[str]) -> None:
    warehouse.execute(f"drop table if exists {table}")
    warehouse.load(table, pa.table({column: pa.array(values, pa.string())}), temporary=True)


def _write(path: Path, rows: list[dict[str, Any]]) -> int:
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(_json(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
