"""Tests the HTTP API against the document that it serves, with schemathesis.

usage: openapi.py PROGRAM [OPTIONS OF SCHEMATHESIS…]

A real daemon with tokens watches jobs of the simulator. All phases and all checks of schemathesis
run, with a fixed seed. A longer run by hand: --max-examples 1000 --max-time 3600 --seed 1.
"""

import os
import subprocess
import sys
from pathlib import Path

from stand import WRITE_TOKEN, Stand

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).parent / "schemathesis"
# The job of the examples in the document.
EXAMPLE = "ff8080826b45d4a5016b5036242c0025"


def main():
    program, options = sys.argv[1], sys.argv[2:]
    with Stand(program) as stand:
        stand.call("/v1/watches", {"service": "dcs", "job_id": stand.create("succeeded")})
        stand.call("/v1/watches", {"service": "dcs", "job_id": EXAMPLE})
        command = [str(PROGRAM), "--config-file", str(HERE / "schemathesis.toml"), "run"]
        command += [f"{stand.url}/openapi.json"]
        command += ["--phases", "examples,coverage,fuzzing,stateful"]
        command += ["--header", f"Authorization: Bearer {WRITE_TOKEN}"]
        command += options or ["--max-examples", "20", "--max-time", "160"]
        environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=stand.folder, env=environment, check=False)
        if done.returncode != 0:
            log = (stand.folder / "log").read_text(errors="replace").splitlines()
            print("the end of the daemon's log:", *log[-20:], sep="\n")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
