"""The lines of the benchmark, by name. Each module has `measure(bench)`, which yields rows of the table as they come."""

from lines import cold, feature, growth, late, memory, noop, overhead, query, scaling, start

# `late` adds runs to the stores of others, so that what is asked of a store after a whole build comes before it.
LINES = {
    "cold": cold,
    "noop": noop,
    "start": start,
    "query": query,
    "late": late,
    "overhead": overhead,
    "feature": feature,
    "memory": memory,
    "scaling": scaling,
    "growth": growth,
}
