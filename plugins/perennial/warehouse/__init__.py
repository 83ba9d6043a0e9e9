"""The warehouse: tables declared by SQL files, made by an engine that can be exchanged."""

from perennial.warehouse.duckdb_engine import Warehouse, exchange, open_warehouse
from perennial.warehouse.lock import writer_lock
from perennial.warehouse.materialize import Build, Materializer, Progress
from perennial.warehouse.model import Model, read_model, read_models, written_model

__all__ = [
    "Build",
    "Materializer",
    "Model",
    "Progress",
    "Warehouse",
    "exchange",
    "open_warehouse",
    "read_model",
    "read_models",
    "writer_lock",
    "written_model",
]
