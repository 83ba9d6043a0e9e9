"""A first `include/sources/<source>.yaml` for a CSV file, guessed from its header and values, for you to finish."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import yaml

from perennial.contracts import Column, Contract
from perennial.foundation.errors import BadData
from perennial.sources.definition import literal, quoted
from perennial.sources.text import decompress, lines_of, plain_text

_LOOKED_AT = 10_000  # rows
_DELIMITERS = (",", ";", "\t", "|")
_ENCODINGS = ("utf-8", "cp1252")
_NUMBERS = ("integer", "number", "quantity", "money", "price")
_FORMATS = tuple(f"{day}{time}" for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d")
                 for time in (" %H:%M:%S", " %H:%M", ""))  # fmt: skip
_OTHER_NAMES = {
    "order_id": "order orderno ordernumber invoice invoiceno invoicenumber basketid receipt receiptno transactionid",
    "line_no": "line lineid linenumber orderitemid orderlineid",
    "ordered_at": "orderdate orderedon invoicedate date datetime timestamp transactiontimestamp created createdat",
    "customer_ref": "customer customerid customerno customernumber clientid householdid memberid userid",
    "email": "mail emailaddress",
    "phone": "telephone phonenumber mobile",
    "sku": "productid stockcode article articleno articleid item itemid itemno productcode",
    "product_name": "product productname productdescription description title itemname articlename",
    "category": "department productcategory productgroup",
    "quantity": "qty units pieces amountordered",
    "unit_price": "price itemprice unitprice",
    "discount": "discountamount rebate",
    "tax": "vat taxamount",
    "shipping": "freight freightvalue postage shippingcost",
    "currency": "currencycode",
    "store_id": "store branch branchid shop",
    "coupon_code": "coupon voucher vouchercode",
    "campaign_ref": "campaign campaignid utmcampaign",
    "name": "fullname customername productname",
    "birthday": "birthdate dateofbirth dob",
    "postcode": "zip zipcode postalcode",
    "signup_at": "signupdate createdat created registeredat",
    "updated_at": "updated modifiedat lastmodified",
    "event_id": "id eventno",
    "occurred_at": "eventtime eventtimestamp timestamp datetime date",
    "kind": "event eventtype eventname action",
    "state": "consent status",
    "recorded_at": "consentdate timestamp datetime date",
    "amount": "cost spend spent",
}
"""Names of source columns by contract column, letters and digits only."""


@dataclass(frozen=True)
class Proposal:
    """
    The text of a source file, and what is said beside it.

    `columns`: contract column → column of the file. `missing`: required contract columns for which none was found.
    `first`, `last`: the earliest and latest moment that the rows tell of, as written; None where that is not readable.
    """

    text: str
    columns: dict[str, str]
    missing: tuple[str, ...]
    first: datetime | None
    last: datetime | None


def propose(name: str, file: Path, contract: Contract) -> Proposal:
    """
    Guess how the CSV `file` maps to `contract`; the file may be packed as .gz or .zst.

    Raises BadData for a file that is not readable as a CSV with a header.
    """
    with TemporaryDirectory(prefix="perennial-") as folder:
        plain = decompress(file, file.name, Path(folder) / "unpacked")
        text = plain_text(plain, file.name, _ENCODINGS, Path(folder) / "text")
        header = next((line for line in lines_of(text) if line.strip()), "")
        if not header:
            raise BadData(f"{file}: is empty, without even a header.")
        delimiter = max(_DELIMITERS, key=header.count)
        try:
            with duckdb.connect() as connection:
                return _Reader(connection, text, delimiter).propose(name, file, contract, is_utf8=text == plain)
        except duckdb.Error as error:
            reason = str(error).split("\n", 1)[0]
            raise BadData(f"{file}: is not readable as a CSV file with a header: {reason}") from error


class _Reader:
    """One CSV file as the table `file` of text columns, of which `sample` is the beginning."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, delimiter: str) -> None:
        self._connection = connection
        self._delimiter = delimiter
        connection.execute(
            f"create view file as select * from read_csv({literal(str(path))}, delim = {literal(delimiter)}, "
            "quote = '\"', escape = '\"', header = true, all_varchar = true, strict_mode = false, ignore_errors = true)"
        )
        connection.execute(f"create table sample as select * from file limit {_LOOKED_AT}")
        self._header = [str(row[0]) for row in connection.execute("describe file").fetchall()]

    def propose(self, name: str, file: Path, contract: Contract, *, is_utf8: bool) -> Proposal:
        found = _matches(self._header, contract)
        formats = {
            column: format_
            for column, source in found.items()
            if contract.columns[column].type in ("date", "timestamp") and (format_ := self._format(source))
        }
        lines = [
            f"# {contract.description}",
            f"# Guessed from {file.name}: check each line.",
            f"source: {name}",
            f"contract: {contract.name}",
            f"path: {name}/*{''.join(file.suffixes)}    # below the inbox",
            "format: csv",
        ]
        if self._delimiter != ",":
            lines.append(f"csv: {{delimiter: {_yaml(self._delimiter)}}}")
        if not is_utf8:
            lines.append(f"encodings: [{', '.join(_ENCODINGS)}]")
        lines.append("# timezone: UTC    # of times without an offset; without this line, the business's")
        if formats:
            lines.append(f"formats: {{{', '.join(f'{column}: {_yaml(text)}' for column, text in formats.items())}}}")
        lines.append(
            "columns:    # column of the contract: column of the file, or {sql: an expression over its columns}"
        )
        for column, definition in contract.columns.items():
            lines.append(self._line(column, definition, found.get(column)))
        unused = [column for column in self._header if column not in found.values()]
        if unused:
            lines.append(f"# Columns of the file that nothing above reads: {', '.join(unused)}")
        first, last = self._range(contract, found, formats)
        missing = tuple(column for column in contract.required if column not in found)
        return Proposal("\n".join(lines) + "\n", found, missing, first, last)

    def _line(self, column: str, definition: Column, source: str | None) -> str:
        if source is None:
            return f"  # {column}:    # {definition.type}{', required' if definition.required else ''}"
        name = quoted(source)
        if definition.type in _NUMBERS and self._all(source, "[-+]?[0-9.]*,[0-9]+"):
            whole = f"replace({name}, '.', '')" if self._any(source, "[.]") else name
            sql, why = f"replace({whole}, ',', '.')", "decimal comma"
        elif definition.type == "text" and self._all(source, "[0-9]+[.]0"):
            sql, why = f"regexp_replace({name}, '[.]0$', '')", "17850.0 is 17850"
        else:
            return f"  {column}: {_yaml(source)}"
        return f"  {column}: {{sql: {_yaml(sql)}}}    # {why}"

    def _format(self, source: str) -> str | None:
        """The format of a date or time; None where it needs none, or nothing fits."""
        column = quoted(source)
        plain, *fitting = self._counts(
            [f"try_cast({column} as timestamp)", *(f"try_strptime({column}, {literal(text)})" for text in _FORMATS)]
        )
        best = max(fitting)
        return None if plain >= best else _FORMATS[fitting.index(best)]

    def _counts(self, values: list[str]) -> tuple[int, ...]:
        counted = ", ".join(f"count({value})" for value in values)
        return self._connection.execute(f"select {counted} from sample").fetchall()[0]

    def _all(self, source: str, pattern: str) -> bool:
        present = f"nullif(trim({quoted(source)}), '')"
        values, fitting = self._counts(
            [present, f"case when regexp_full_match({present}, {literal(pattern)}) then 1 end"]
        )
        return 0 < values == fitting

    def _any(self, source: str, pattern: str) -> bool:
        return self._counts([f"case when regexp_matches({quoted(source)}, {literal(pattern)}) then 1 end"])[0] > 0

    def _range(
        self, contract: Contract, found: dict[str, str], formats: dict[str, str]
    ) -> tuple[datetime | None, datetime | None]:
        if contract.dated_by not in found:
            return None, None
        column = quoted(found[contract.dated_by])
        format_ = formats.get(contract.dated_by)
        moment = f"try_strptime({column}, {literal(format_)})" if format_ else f"try_cast({column} as timestamp)"
        return self._connection.execute(f"select min({moment}), max({moment}) from file").fetchall()[0]


def _matches(header: list[str], contract: Contract) -> dict[str, str]:
    """Contract column → the source column whose name says the same; each source column is used once."""
    by_name: dict[str, str] = {}
    for source in header:
        by_name.setdefault(_letters(source), source)
    found: dict[str, str] = {}
    for column in contract.columns:
        if _letters(column) in by_name:
            found[column] = by_name.pop(_letters(column))
    for column in contract.columns:
        for other in _OTHER_NAMES.get(column, "").split():
            if column not in found and other in by_name:
                found[column] = by_name.pop(other)
    return {column: found[column] for column in contract.columns if column in found}


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _yaml(text: str) -> str:
    """A text as a YAML scalar, quoted where it has to be."""
    return text if text.isidentifier() and yaml.safe_load(text) == text else json.dumps(text, ensure_ascii=False)
