"""What every line is given: the binary, a scratch folder, inputs that are made once, yardsticks, how often to repeat."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
PACKAGES = ["polars", "numpy", "duckdb", "pandas", "pyarrow", "ninja", "dagster"]


class Missing(Exception):
    """A yardstick that is not there; says why."""


class Bench:
    """One call of the driver."""

    def __init__(self, binary, cache, quick, huge=False):
        self.binary, self.cache, self.quick, self.huge = binary, cache, quick, huge
        self.scratch = cache / f"scratch-{os.getpid()}"
        self.pairs = 1 if quick else 3
        self._stores = {}

    def assets(self, *args, cwd, limit_s=measure.LIMIT_S):
        """Runs the program in a project's folder."""
        return measure.run([self.binary, *args], cwd=cwd, limit_s=limit_s)

    def folder(self, name):
        """A new, empty folder."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def forget(self, path):
        """Removes what is no longer needed: disks are small."""
        shutil.rmtree(path, ignore_errors=True)

    def simulated(self, runs, seconds, seed=1):
        """A folder with `recording.parquet` of that many complete runs; made once, kept in the cache."""
        return self._input(f"runs-{runs}x{seconds:g}s-{seed}", lambda to: measure.run(
            [self.binary, "simulate", to, "--runs", runs, "--seconds", seconds, "--seed", seed, "-q"]))

    def recording(self):
        """The full-rate recording of the demo: four runs, 1 577 760 rows."""
        def make(to):
            measure.run([self.binary, "demo", to / "demo", "-q"])
            shutil.move(to / "demo" / "data" / "recording.parquet", to / "recording.parquet")
            shutil.rmtree(to / "demo")
        return self._input("demo", make)

    def _input(self, name, make):
        path = self.cache / "inputs" / name
        if not path.exists():
            temp = path.with_name(f"{name}.{os.getpid()}")
            shutil.rmtree(temp, ignore_errors=True)
            temp.mkdir(parents=True)
            make(temp)
            temp.rename(path)
        return path

    def project(self, name, data, settings=""):
        """A new project over the recording in `data`, which is linked, not copied."""
        path = self.folder(name)
        (path / "data").mkdir()
        os.link(data / "recording.parquet", path / "data" / "recording.parquet")
        (path / "assets.toml").write_text(f'sources = ["data/*.parquet"]\n{settings}')
        return path

    def many(self, runs):
        """A project with `stats` of that many runs of a second, made once a call of the driver, and what that took."""
        if runs not in self._stores:
            path = self.project(f"many-{runs}", self.simulated(runs, 1))
            # A source that was written less than two seconds ago is looked at again by the next command, whatever that is.
            time.sleep(2.1)
            self._stores[runs] = path, self.assets("materialize", "-q", cwd=path)
        return self._stores[runs]

    def tool(self, name):
        """A program of the yardsticks' environment."""
        path = self.cache / "venv" / "bin" / name
        if not path.exists():
            raise Missing(f"{name} could not be installed here: see {self.cache / 'pip.log'}")
        return path

    def yardstick(self, script, *args, needs=(), cwd=None):
        """Runs a script of `yardsticks/`."""
        for module in needs:
            if subprocess.run([self.tool("python"), "-c", f"import {module}"], capture_output=True).returncode:
                raise Missing(f"{module} could not be installed here: see {self.cache / 'pip.log'}")
        return measure.run([self.tool("python"), HERE / "yardsticks" / script, *args], cwd=cwd)

    def install(self):
        """Makes the yardsticks' environment where it is not there; what fails is skipped by the lines that need it."""
        venv = self.cache / "venv"
        if (venv / "complete").exists():
            return
        print(f"installing {', '.join(PACKAGES)} into {venv}", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        with open(self.cache / "pip.log", "wb") as log:
            subprocess.run([sys.executable, "-m", "venv", venv], stdout=log, stderr=log)
            pip = [venv / "bin" / "python", "-m", "pip", "install", "-q"]
            # One by one: one that is not to be had does not take the others along.
            done = [subprocess.run([*pip, package], stdout=log, stderr=log).returncode == 0 for package in PACKAGES]
        if all(done):
            (venv / "complete").touch()

    def versions(self):
        """Of the yardsticks, for the table."""
        code = "from importlib.metadata import version as v\nfor p in %r:\n  try: print(p, v(p))\n  except Exception: pass"
        try:
            said = subprocess.run([self.tool("python"), "-c", code % PACKAGES], capture_output=True, text=True).stdout
        except Missing:
            return "no yardsticks"
        return ", ".join(said.splitlines())


def size(path, pattern="**/*"):
    """Bytes of the files below."""
    return sum(file.stat().st_size for file in path.glob(pattern) if file.is_file())


def settle():
    """Lets the disk finish what an earlier program left to it."""
    os.sync()
