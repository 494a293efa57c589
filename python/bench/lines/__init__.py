"""The lines of the benchmark, by name. Each module has `measure(bench)`, which yields rows of the table as they come."""

from lines import cold, feature, growth, late, memory, noop, overhead, query, scaling, start

LINES = {
    "cold": cold,
    "noop": noop,
    "late": late,
    "overhead": overhead,
    "feature": feature,
    "memory": memory,
    "scaling": scaling,
    "start": start,
    "query": query,
    "growth": growth,
}
