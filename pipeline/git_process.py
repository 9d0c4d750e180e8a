"""What each process of git is told, and what one that serves a student may use."""

from __future__ import annotations

ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
}
MEMORY_KB, PROCESSOR_S = 2**20, 600
BOUNDED = ("sh", "-c", f'ulimit -d {MEMORY_KB}; ulimit -t {PROCESSOR_S}; exec "$@"', "sh")
"""Before a command: it runs within these bounds, wherever the shell can set them."""
