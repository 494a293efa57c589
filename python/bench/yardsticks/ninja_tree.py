"""`ninja_tree.py FOLDER OUTPUTS FILES NINJA`: a build file with an edge per output, the outputs, and ninja's log of them.

All edges have the same command, hence the same hash in the log: ninja makes one of them, the rest of the log is copied.
A process of its own, because what the driver once held would count as the least peak of all that it measures later.
"""

import subprocess
import sys
from pathlib import Path

HEAD = "rule made\n  command = true\n"


def main(folder, count, files, ninja):
    (folder / "data").mkdir()
    for file in range(files):
        (folder / "data" / str(file)).touch()
    outputs = [f"out/{number // 1000}/{number}" for number in range(count)]
    for number, output in enumerate(outputs):
        if number % 1000 == 0:
            (folder / output).parent.mkdir(parents=True)
        (folder / output).touch()
    edges = [f"build {output}: made data/{number % files}\n" for number, output in enumerate(outputs)]
    (folder / "build.ninja").write_text(HEAD + edges[0])
    subprocess.run([ninja, "--quiet"], cwd=folder, check=True)
    log = (folder / ".ninja_log").read_text().splitlines()
    fields = log[-1].split("\t")
    lines = ["\t".join([*fields[:3], output, fields[4]]) for output in outputs]
    (folder / ".ninja_log").write_text("\n".join([log[0], *lines]) + "\n")
    (folder / "build.ninja").write_text(HEAD + "".join(edges))
    said = subprocess.run([ninja, "-n"], cwd=folder, check=True, capture_output=True, text=True).stdout
    if "no work" not in said:
        raise SystemExit("ninja does not find its outputs fresh")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
