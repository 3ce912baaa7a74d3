#!/bin/sh
# Starts a job of the service `{{ service }}`, and waits for its end.
# The script ends with the exit code of the command if that fails, otherwise with that of the job:
# {{ exits }}.
# JOBWATCH_TOKEN or JOBWATCH_TOKEN_FILE has the write token, where the daemon needs one.
set -eu
export JOBWATCH_URL="${JOBWATCH_URL:-{{ url }}}"

# In place of ./create.sh: the command that starts the job, and prints the answer of the cloud. If
# it prints the head too, as `curl -si` does, add the option -i. For a job that exists already:
#   jobwatch submit {{ service }} JOB_ID --wait
jobwatch do --service {{ service }}{{ labels }} -- ./create.sh
