"""The warehouse: tables declared by SQL files, made by an engine that can be exchanged."""

from perennial.warehouse.engine import Warehouse
from perennial.warehouse.lock import writer_lock
from perennial.warehouse.materialize import Build, Materializer, Progress
from perennial.warehouse.model import Model, read_model, read_models, written_model
from perennial.warehouse.opening import create_scratch, exchange, open_warehouse, scratch_beside

__all__ = [
    "Build",
    "Materializer",
    "Model",
    "Progress",
    "Warehouse",
    "create_scratch",
    "exchange",
    "open_warehouse",
    "read_model",
    "read_models",
    "scratch_beside",
    "writer_lock",
    "written_model",
]
