#!/bin/sh
# Removes a run's folder if the run has ended; any other folder stays, with the reason.
set -eu
folder=$1
if [ ! -e "$folder" ]; then
    exit 0
fi
if grep -q '^  "outcome": "' "$folder/record.json" 2>/dev/null; then
    chmod -R u+rwX "$folder"
    rm -rf "$folder"
    exit 0
fi
printf 'error: %s holds no finished run, so it was not removed\n' "$folder" >&2
printf '  hint: `.venv/bin/pipeline resume %s` goes on with it; or move it away\n' "$folder" >&2
exit 2
