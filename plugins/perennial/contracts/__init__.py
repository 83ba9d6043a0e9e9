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

__all__ = ["Column", "Contract", "Expectation", "Severity", "contract_names", "load_contract", "load_contracts"]
