"""
People who were erased, as rows name them: conditions and columns in SQL.

Of a row about somebody erased everything that tells who it is about is left out; what was bought, and when, still
counts. So a file that is delivered again brings nobody back, and no sum changes. The row is recognised by the salted
hashes of what it names: a table `erased_identifiers (hash text)` has to be there, and the function `address_hash`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from perennial.contracts.contract import Contract

# What names a person, by column -> as which kind of identifier.
_NAMES = {
    "customer_ref": "ref",
    "email": "email",
    "phone": "phone",
    "loyalty_card": "card",
    "device_id": "device",
    "referred_by": "ref",
}
_OTHERS = ("referred_by",)  # name somebody else than the row is about


@dataclass(frozen=True)
class Erased:
    """What the ledger keeps of everybody who was erased."""

    salt: str
    hashes: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.hashes)


NOBODY = Erased("", frozenset())


def identifiers_in(contract: Contract) -> dict[str, str]:
    """The columns that name the person of a row -> the identifier as SQL: `ref:7`, `email:ada@example.com`."""
    return {name: sql for name, sql in _named(contract).items() if name not in _OTHERS}


def salted(identifier: str, salt: str) -> str:
    """What is kept of an identifier that was erased; the same as `address_hash(salt || identifier)` in SQL."""
    return hashlib.sha256((salt + identifier).strip(" ").lower().encode()).hexdigest()


def mentions_erased(contract: Contract, salt: str) -> str:
    """A condition: the row names somebody who was erased, whoever it is about."""
    return _any_of(_named(contract).values(), salt)


def mentions_any(contract: Contract, table: str) -> str:
    """A condition: the row names one of the identifiers in the column `named` of a table, whoever it is about."""
    known = f"select named from {table}"
    return f"({' or '.join(f'coalesce({sql} in ({known}), false)' for sql in _named(contract).values()) or 'false'})"


def is_blanked() -> str:
    """A condition: something was left out of the row already. Only then its `_hash` is of such a length."""
    return "length(_hash) = 64"


def without_the_erased(contract: Contract, salt: str, table: str) -> str:
    """
    A SELECT of the rows of a table, shaped as `raw.<contract>`, in DuckDB's SQL, with nobody in them who was erased.

    `_key` and `_hash` stand for what a row says, so they are hashed again; equal rows stay equal.
    """
    about = {name for name, column in contract.columns.items() if column.pii or column.identifies}
    about |= set(identifiers_in(contract))
    values = {name: f"case when _is_erased then null else {name} end" for name in sorted(about)}
    values |= {
        name: f"case when _is_mentioned then null else {name} end" for name in _OTHERS if name in contract.columns
    }
    again = f"address_hash('{salt}' || _hash)"
    values["_hash"] = f"case when _is_mentioned then {again} else _hash end"
    if about & set(contract.key):
        values["_key"] = f"case when _is_erased then address_hash('{salt}' || _key) else _key end"
    else:  # the content may stand in it
        values["_key"] = f"case when _is_mentioned then replace(_key, _hash, {again}) else _key end"
    replaced = ", ".join(f"{sql} as {name}" for name, sql in values.items())
    return f"""
        select * exclude (_is_erased, _is_mentioned) replace ({replaced})
        from (
            select *, {_any_of(identifiers_in(contract).values(), salt)} as _is_erased,
                {mentions_erased(contract, salt)} as _is_mentioned
            from {table}
        )
    """


def _named(contract: Contract) -> dict[str, str]:
    return {
        name: f"'{kind}:' || {f'lower({name})' if kind == 'email' else name}"
        for name, kind in _NAMES.items()
        if name in contract.columns
    }


def _any_of(identifiers: Iterable[str], salt: str) -> str:
    known = "select hash from erased_identifiers"
    hashes = [f"coalesce(address_hash('{salt}' || {sql}) in ({known}), false)" for sql in identifiers]
    return f"({' or '.join(hashes) or 'false'})"
