"""The surroundings of these tests: the simulator and the daemon, as processes of the real program."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

READ_TOKEN = "read-token-of-the-test"
WRITE_TOKEN = "write-token-of-the-test"

CONFIG = """
instance = "pipelines"

[store]
url = "sqlite://{folder}/jobwatch.db"

[api]
listen = "127.0.0.1:{port}"
read_token_file = "{folder}/read"
write_token_file = "{folder}/write"

[poll]
first = "200ms"
initial = "200ms"
max = "500ms"

[credentials.sim]
kind = "token"
token_file = "{folder}/read"

[services.dcs]
definition = "dcs"
url = "{simulator}"
credential = "sim"
params = {{ project_id = "any" }}
rate = 500.0
burst = 500
concurrency = 32

[sinks.events]
kind = "file"
path = "{folder}/events.jsonl"
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stand:
    """A simulator and a daemon that watches its jobs, in a folder of their own."""

    def __init__(self, program):
        self.program = str(Path(program).resolve())
        self.processes = []
        self.home = tempfile.TemporaryDirectory(prefix="jobwatch-pipelines-")
        self.folder = Path(self.home.name)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=60)
        self.home.cleanup()

    def start(self):
        for name, token in [("read", READ_TOKEN), ("write", WRITE_TOKEN)]:
            (self.folder / name).touch(mode=0o600)
            (self.folder / name).write_text(token)
        simulate = [self.program, "simulate", "--listen", "127.0.0.1:0"]
        simulator = subprocess.Popen(simulate, stdout=subprocess.PIPE, text=True)
        self.processes.append(simulator)
        first = simulator.stdout.readline()
        self.simulator = re.search(r"http://[0-9.:]+", first).group()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = self.folder / "jobwatch.toml"
        config.write_text(
            CONFIG.format(folder=self.folder, port=port, simulator=self.simulator)
        )
        log = open(self.folder / "log", "wb")
        run = [self.program, "run", "--config", str(config)]
        self.processes.append(subprocess.Popen(run, stdout=log, stderr=log))
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                if self.processes[-1].poll() is not None:
                    break
                time.sleep(0.1)
        log = (self.folder / "log").read_text(errors="replace")
        raise SystemExit(f"the daemon is not ready; its log:\n{log}")

    def call(self, path, body=None, base=None):
        """Calls the daemon, or another base; returns the answer as JSON."""
        request = urllib.request.Request(
            f"{base or self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {WRITE_TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def create(self, outcome, duration="1s"):
        """Creates a job of the simulator; returns its id."""
        job = {"service": "dcs", "duration": duration, "outcome": outcome}
        return self.call("/_sim/jobs", job, self.simulator)["job_id"]

    def environment(self, **more):
        """The environment of a pipeline: the program is found by its name."""
        bin_folder = self.folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        link = bin_folder / "jobwatch"
        if not link.exists():
            link.symlink_to(self.program)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("JOBWATCH")
        }
        environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
        environment["JOBWATCH_TOKEN"] = WRITE_TOKEN
        environment["HOME"] = str(self.folder)
        environment["LC_ALL"] = "C.UTF-8"
        return environment | more
