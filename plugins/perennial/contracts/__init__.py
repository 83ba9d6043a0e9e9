"""Data contracts: what a source is mapped to, and what must hold for its rows."""

from perennial.contracts.contract import (
    Column,
    Contract,
    Expectation,
    Severity,
    contract_names,
    load_contract,
    load_contracts,
)
from perennial.contracts.erased import Erased

__all__ = [
    "Column",
    "Contract",
    "Erased",
    "Expectation",
    "Severity",
    "contract_names",
    "load_contract",
    "load_contracts",
]
