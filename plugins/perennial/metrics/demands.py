"""What a rule demands, in plain words: of a contract's suite, and those that every source is held to."""

from collections.abc import Callable, Mapping
from typing import Any

from perennial.contracts import Expectation
from perennial.metrics.words import plain

# Rules that stand in no contract. A rule that is not here is shown by its name alone.
OF_EVERY_SOURCE = {
    "fresh": "The newest row is as new as the source promises.",
    "volume": "About as many rows come as on the same weekday before.",
    "mix": "Values come in about the shares of the same weekday before.",
    "reference": "What a row refers to is known.",
    "batch": "What came together is fit to be loaded.",
    "framing": "Each record of a file is whole.",
    "missing_columns": "The files have every column that the mapping reads.",
    "unknown_columns": "The mapping reads every column of the files.",
    "new_column": "No column is new.",
    "changed_form": "Values look as they did in the files before.",
    "replayed": "Rows that had been refused were taken in.",
    "readable": "A value that is there can be read as the type of its column.",
}

_OWN_QUERY = "unexpected_rows_expectation"
# How the types begin that look at each row; the others look at the batch as a whole.
_OF_ROWS = (
    _OWN_QUERY,
    "expect_column_value",
    "expect_column_pair_values",
    "expect_compound",
    "expect_select",
    "expect_multi",
)

_Arguments = Mapping[str, Any]


def is_about_rows(expectation: Expectation) -> bool:
    """Whether single rows can break it, so that a share of them says something."""
    return expectation.expect.startswith(_OF_ROWS)


def demand(expectation: Expectation) -> str:
    """One sentence: what the author says, else what type and arguments say."""
    if expectation.description:
        return expectation.description
    kwargs = expectation.kwargs
    known = _SENTENCES.get(expectation.expect)
    sentence = known(kwargs) if known else _any(expectation)
    share = kwargs.get("mostly", 1)
    return f"{sentence}, in at least {share:.0%} of the rows." if share < 1 else f"{sentence}."


def _any(expectation: Expectation) -> str:
    told = ", ".join(f"{name} {_listed(value)}" for name, value in expectation.kwargs.items() if name != "mostly")
    name = plain(expectation.expect.removeprefix("expect_"))
    return f"{name}: {told}" if told else name


def _between(subject: str) -> Callable[[_Arguments], str]:
    def sentence(kwargs: _Arguments) -> str:
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        bounds = []
        if low is not None:
            bounds.append(f"{'above' if kwargs.get('strict_min') else 'at least'} {low}")
        if high is not None:
            bounds.append(f"{'below' if kwargs.get('strict_max') else 'at most'} {high}")
        return f"{subject.format(**kwargs)} is {' and '.join(bounds) or 'any'}"

    return sentence


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple, set)) else str(value)


def _greater(kwargs: _Arguments) -> str:
    or_equal = "at least" if kwargs.get("or_equal") else "greater than"
    return f"{kwargs['column_A']} is {or_equal} {kwargs['column_B']}"


def _one_of(word: str) -> Callable[[_Arguments], str]:
    def sentence(kwargs: _Arguments) -> str:
        values = kwargs["value_set"]
        few = "" if len(values) == 1 else "one of "
        return f"{kwargs['column']} is {word}{few}{_listed(values)}"

    return sentence


_SENTENCES: dict[str, Callable[[_Arguments], str]] = {
    _OWN_QUERY: lambda kwargs: f"No row is found by: {kwargs['unexpected_rows_query']}",
    "expect_column_values_to_be_between": _between("{column}"),
    "expect_column_value_lengths_to_be_between": _between("the length of {column}"),
    "expect_table_row_count_to_be_between": _between("the number of rows"),
    "expect_column_values_to_be_in_set": _one_of(""),
    "expect_column_values_to_not_be_in_set": _one_of("not "),
    "expect_column_values_to_match_regex": lambda kwargs: f"{kwargs['column']} matches {kwargs['regex']}",
    "expect_column_values_to_not_match_regex": lambda kwargs: f"{kwargs['column']} does not match {kwargs['regex']}",
    "expect_column_values_to_be_unique": lambda kwargs: f"{kwargs['column']} is different in every row of a batch",
    "expect_column_values_to_not_be_null": lambda kwargs: f"{kwargs['column']} has a value",
    "expect_column_values_to_be_null": lambda kwargs: f"{kwargs['column']} has no value",
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
}
