"""Runs the pieces of pipelines that `jobwatch glue` prints, with the tools that run them.

usage: pipelines.py PROGRAM

Each piece runs twice against a real daemon: the job succeeds, and the pipeline must too; the job
fails, and the pipeline must fail. The label has every character that could leave its place, and
must arrive as it was given. Files of YAML are also checked against the schemas of their tools.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml
from hera.workflows import models as argo

from stand import WRITE_TOKEN, Stand

LABEL = "it's \"x\" \\ $HOME `id` $(id) ${{ a }} {{ b }} {% raw %} {# %{ $[[ x ]] ''' \u00e9 - c: d #"
BIN = Path(sys.executable).parent
LIMIT = 120

CREATE = """#!/bin/sh
exec curl -sf -X POST {simulator}/_sim/jobs \\
  -d '{{"service": "dcs", "duration": "1s", "outcome": "'"$OUTCOME"'"}}'
"""


class Failure(Exception):
    pass


class Case:
    """One way to run a printed piece: returns its exit code and its output."""

    def __init__(self, stand, tool):
        self.stand = stand
        self.tool = tool
        self.folder = stand.folder / tool
        self.folder.mkdir(exist_ok=True)
        create = self.folder / "create.sh"
        create.write_text(CREATE.format(simulator=stand.simulator))
        create.chmod(0o755)
        self.text = self.printed()

    def printed(self):
        glue = [self.stand.program, "glue", self.tool, "--service", "dcs"]
        glue += ["--label", f"note={LABEL}", "--url", self.stand.url]
        done = subprocess.run(glue, capture_output=True, text=True, timeout=LIMIT)
        if done.returncode != 0 or done.stderr:
            raise Failure(f"glue ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def write(self, name):
        file = self.folder / name
        file.write_text(self.text)
        return file

    def run(self, command, outcome, **variables):
        environment = self.stand.environment(OUTCOME=outcome, **variables)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        return done.returncode, done.stdout

    def check(self, run):
        """Runs the piece with a job that succeeds and with one that fails."""
        for outcome in ["succeeded", "failed"]:
            code, output = run(self, outcome)
            if (code == 0) != (outcome == "succeeded"):
                raise Failure(f"a job that {outcome} gives the exit code {code}:\n{output}")
            newest = self.stand.call("/v1/watches?limit=1")["watches"][0]
            if newest["state"] != outcome or newest["labels"].get("note") != LABEL:
                raise Failure(f"the watch is not that of the piece: {newest}\n{output}")


def shell(case, outcome):
    case.write("deploy.sh")
    code, output = case.run(["sh", "deploy.sh"], outcome)
    again, _ = case.run(["bash", "-e", "deploy.sh"], outcome)
    if again != code:
        raise Failure(f"bash ends with {again}, sh with {code}")
    return code, output


def gitlab(case, outcome):
    schema(case.write(".gitlab-ci.yml"), "vendor.gitlab-ci")
    job = yaml.safe_load(case.text)["deploy"]
    script = "\n".join(job["script"])
    variables = job["variables"] | {"CI_PIPELINE_ID": "42"}
    return case.run(["sh", "-e", "-c", script], outcome, **variables)


def github(case, outcome):
    schema(case.write("deploy.yml"), "vendor.github-workflows")
    steps = yaml.safe_load(case.text)["jobs"]["deploy"]["steps"]
    step = next(step for step in steps if "run" in step)
    secret = "${{ secrets.JOBWATCH_TOKEN }}"
    variables = {
        name: WRITE_TOKEN if value == secret else value
        for name, value in step["env"].items()
    }
    if "${{" in step["run"] or "${{" in "".join(variables.values()):
        raise Failure("GitHub would replace a part of the label")
    variables["GITHUB_RUN_ID"] = "42"
    return case.run(["bash", "-e", "-c", step["run"]], outcome, **variables)


def terraform(case, outcome):
    program = shutil.which("terraform") or shutil.which("tofu")
    case.write("main.tf")
    for rest in case.folder.glob("*.tfstate*"):
        rest.unlink()
    code, output = case.run([program, "init", "-input=false", "-no-color"], outcome)
    if code != 0:
        raise Failure(f"{program} init: {output}")
    apply = [program, "apply", "-auto-approve", "-input=false", "-no-color"]
    return case.run(apply, outcome)


def ansible(case, outcome):
    case.write("deploy.yml")
    play = [str(BIN / "ansible-playbook"), "-i", "localhost,", "deploy.yml"]
    play += ["-e", f"ansible_python_interpreter={sys.executable}"]
    return case.run(play, outcome)


def jenkins(case, outcome):
    found = re.search(r"sh '''(.*?[^\\])'''", case.text, re.DOTALL)
    script = re.sub(r"\\(.)", r"\1", found.group(1))
    url = re.search(r"JOBWATCH_URL = '([^']*)'", case.text).group(1)
    return case.run(["sh", "-xe", "-c", script], outcome, JOBWATCH_URL=url, BUILD_TAG="b-1")


def airflow(case, outcome):
    calls = [node for node in ast.walk(ast.parse(case.text)) if isinstance(node, ast.Call)]
    task = next(call for call in calls if getattr(call.func, "id", "") == "BashOperator")
    members = {word.arg: word.value for word in task.keywords}
    command = ast.literal_eval(members["bash_command"])
    if any(sign in command for sign in ["{{", "{%", "{#"]):
        raise Failure("Airflow would replace a part of the label")
    if command.endswith((".sh", ".bash")):
        raise Failure("Airflow would take the command for the name of a file")
    variables = ast.literal_eval(members["env"]) | {"AIRFLOW_CTX_DAG_RUN_ID": "r"}
    return case.run(["bash", "-c", command], outcome, **variables)


def compose(case, outcome):
    schema(case.write("compose.yml"), "vendor.compose-spec")
    service = yaml.safe_load(case.text)["services"]["job"]
    script = service["command"][0].replace("$$", "$")
    return in_container(case, outcome, service["entrypoint"], script, service["environment"])


def kubernetes(case, outcome):
    manifest = yaml.safe_load(case.text)
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    if "$(" in container["args"][0]:
        raise Failure("Kubernetes would replace a part of the label")
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    variables["HOSTNAME"] = "pod-1"
    return in_container(case, outcome, container["command"], container["args"][0], variables)


def argo_workflows(case, outcome):
    manifest = yaml.safe_load(case.text)
    workflow = argo.Workflow.model_validate(manifest)
    known = workflow.model_dump(mode="json", by_alias=True, exclude_none=True)
    lost = missing(manifest, known)
    if lost:
        raise Failure(f"Argo knows no {lost}")
    script = manifest["spec"]["templates"][0]["script"]
    source = script["source"].replace("{{workflow.name}}", "dcs-1")
    if "{{" in source:
        raise Failure("Argo would replace a part of the label")
    variables = {entry["name"]: entry.get("value") for entry in script["env"]}
    return in_container(case, outcome, ["/bin/sh", "-ec"], source, variables)


def in_container(case, outcome, command, script, variables):
    """Runs the script of a container that waits for a job that exists."""
    given = {name: value for name, value in variables.items() if value}
    given["JOB_ID"] = case.stand.create(outcome)
    given.pop("JOBWATCH_TOKEN", None)
    return case.run([*command, script], outcome, **given)


def missing(written, known, path=""):
    """The first member of `written` that `known` lacks."""
    if isinstance(written, dict):
        for name, value in written.items():
            here = f"{path}.{name}"
            if not isinstance(known, dict) or name not in known:
                return here
            found = missing(value, known[name], here)
            if found:
                return found
    elif isinstance(written, list):
        for number, value in enumerate(written):
            found = missing(value, known[number], f"{path}[{number}]")
            if found:
                return found
    return None


def schema(file, name):
    check = [str(BIN / "check-jsonschema"), "--builtin-schema", name, str(file)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode != 0:
        raise Failure(f"{name}:\n{done.stdout}{done.stderr}")


CASES = {
    "shell": shell,
    "gitlab": gitlab,
    "github": github,
    "terraform": terraform,
    "ansible": ansible,
    "argo": argo_workflows,
    "jenkins": jenkins,
    "compose": compose,
    "kubernetes": kubernetes,
    "airflow": airflow,
}


def main():
    failed = False
    with Stand(sys.argv[1]) as stand:
        for tool, run in CASES.items():
            if tool == "terraform" and not (shutil.which("terraform") or shutil.which("tofu")):
                print("NOTICE: SKIPPED: terraform: neither terraform nor tofu is installed", flush=True)
                continue
            try:
                Case(stand, tool).check(run)
                print(f"{tool}: ok", flush=True)
            except Exception as error:
                failed = True
                print(f"{tool}: FAILED: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
