"""Which identifiers are connected by pairs of them: the connected components of a graph."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def connected(pairs: pa.Table) -> pa.Table:
    """
    One row for each identifier paired with itself: the smallest identifier that a chain of pairs connects with it.

    `pairs` has two columns of text, the identifiers, and any others; the result has the same columns, those others from
    the row of the identifier itself. Memory: some 100 bytes a pair.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not pairs.num_rows:
        return pairs
    one, other = (pairs.column(number).combine_chunks() for number in (0, 1))
    names = pc.unique(pa.concat_arrays([one, other]))
    names = names.take(pc.sort_indices(names))
    start, end = (pc.index_in(column, names).to_numpy(zero_copy_only=False) for column in (one, other))
    edges = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(len(names), len(names)))
    _, component = connected_components(edges, directed=False)
    _, smallest = np.unique(component, return_index=True)  # names are sorted: the first of a component
    found = names.take(pa.array(smallest[component[start]]))
    return pairs.set_column(1, pairs.schema.names[1], found).filter(pc.equal(one, other))
