"""The Python side of `command` assets in `assets.toml`: what a step is handed, and how it reports.

Copy this file beside your script. It needs nothing but Python's standard library; tables are read and written with
whatever reads Parquet (pandas, polars, pyarrow, DuckDB): `step.paths("features")` gives the files.

One process a step:                          One process for many steps (`batch = true`):

    from assets_step import step                 from assets_step import steps
    table = pd.read_parquet(step.paths("f"))     for step in steps():
    ...                                              ...
    result.to_parquet(step.output("model"))          step.report(model=[{"score": 0.5}])
"""

import json
import os
import sys


class Step:
    """One step: a run (or another partition) of an asset."""

    def __init__(self, manifest, answer):
        self._manifest = manifest
        self._answer = answer
        self.asset = manifest["asset"]
        self.run = manifest["run"]
        self.partition = manifest["partition"]
        self.parameters = manifest["parameters"]

    def paths(self, table):
        """The Parquet files of an input; a packed one, such as `stats`, has `rows` instead."""
        return self._manifest["inputs"][table]["paths"]

    def rows(self, table):
        """The rows of a packed input, such as `stats`, as dictionaries; times are text in UTC."""
        return self._manifest["inputs"][table]["values"]

    def output(self, table):
        """Where to write a table as a Parquet file; it needs the declared columns."""
        return self._manifest["outputs"][table]["path"]

    def report(self, unavailable=None, warnings=None, **tables):
        """Says that the step is done. Small tables can be given here as rows instead of written as files.

        `unavailable`: {column: why it is null in every row}; `warnings`: sentences for whoever builds.
        """
        self._answer(self._line(rows=tables, unavailable=unavailable or {}, warnings=warnings or []))

    def fail(self, why):
        """Says that this step can't be made, and why. Other steps go on."""
        self._answer(self._line(error=str(why)))

    def _line(self, **report):
        return json.dumps({"step": self._manifest["step"], **report})


with open(os.environ["ASSETS_MANIFEST"], encoding="utf-8") as _file:
    _manifest = json.load(_file)

# What is printed goes to the log at once: whatever happens next, it is there.
sys.stdout.reconfigure(line_buffering=True)

if _manifest["batch"]:
    # Standard output carries the reports. Whatever is printed, here or by a library, goes to standard error: the log.
    _reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def steps():
    """The steps of a `batch = true` asset, one after the other. Report (or fail) each before taking the next."""

    def answer(line):
        sys.stdout.flush()
        _reports.write(line + "\n")
        _reports.flush()

    for line in sys.stdin:
        manifest = json.loads(line)
        sys.stdout.flush()
        os.write(2, f"\x1e{manifest['step']}\n".encode())  # whose log follows
        yield Step(manifest, answer)


def __getattr__(name):
    """`from assets_step import step`: the one step of a process a step."""
    if name != "step":
        raise AttributeError(name)

    def answer(line):
        with open(_manifest["report"], "w", encoding="utf-8") as file:
            file.write(line)

    return Step(_manifest, answer)
