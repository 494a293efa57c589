"""A project of many steps that cost next to nothing: a packed table of files, and packed queries over it.

What is measured on it is what the program itself takes for a step.
"""

ASSETS = 4  # `readings` and three queries
QUERIES = """
[assets.a]
sql = "select n + 1 as n from readings"
packed = true
[assets.b]
sql = "select n * 2 as n from readings"
packed = true
[assets.c]
sql = "select a.n + b.n as n from a, b"
packed = true
"""
READINGS = """pipeline = "none"
[assets.readings]
files = ["data/*.csv"]
partition_by = ["key"]
packed = true
columns.n = { type = "integer" }
"""


def key(number):
    return f"k{number:07d}"


def write(path, keys, files, queries=QUERIES):
    """Settings, and a row for each key, spread over so many files."""
    (path / "data").mkdir()
    for file in range(files):
        own = range(file, keys, files)
        rows = "".join(f"{key(number)},{number}\n" for number in own)
        (path / "data" / f"{file:04d}.csv").write_text("key,n\n" + rows)
    (path / "assets.toml").write_text(READINGS + queries)
