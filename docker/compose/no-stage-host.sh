#!/bin/sh
# What a task starts, as AIRLOOM_STAGE_PYTHON, where the stages' container does not answer: 75, try again later.
echo "the container \`stages\` does not answer, and this one has no stage libraries; docker compose ps stages says why" >&2
exit 75
