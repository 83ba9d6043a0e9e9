"""Source files: what they are mapped to, the landing that keeps them, and how they become typed rows."""

from perennial.sources.arrival import Landed
from perennial.sources.batch import LEFT_OUT, Batch, FileCount, Note
from perennial.sources.definition import Source, load_source, load_sources, source_names
from perennial.sources.erased import without_erased
from perennial.sources.forms import FileFinding, Form, KnownForms, forms_of
from perennial.sources.landing import landed, replace_copies, superseded_duplicates, take
from perennial.sources.mix import mix_of
from perennial.sources.parse import parse
from perennial.sources.proposal import Proposal, propose
from perennial.sources.pseudonymised import KEPT, REASONS, read_pseudonymised, write_pseudonymised
from perennial.sources.scratch import open_scratch

__all__ = [
    "KEPT",
    "LEFT_OUT",
    "REASONS",
    "Batch",
    "FileCount",
    "FileFinding",
    "Form",
    "KnownForms",
    "Landed",
    "Note",
    "Proposal",
    "Source",
    "forms_of",
    "landed",
    "load_source",
    "load_sources",
    "mix_of",
    "open_scratch",
    "parse",
    "propose",
    "read_pseudonymised",
    "replace_copies",
    "source_names",
    "superseded_duplicates",
    "take",
    "without_erased",
    "write_pseudonymised",
]
