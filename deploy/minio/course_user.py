"""Gives a course a user in MinIO that opens the course's buckets alone; again: the same user, the policy anew.

COURSE, STORE (host:port) and SECRETS (their folder) come from the environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

POLICY = Path(__file__).with_name("course-policy.json")


def main() -> None:
    course, folder = os.environ["COURSE"], Path(os.environ.get("SECRETS", "/run/secrets"))

    def secret(name: str) -> str:
        return (folder / name).read_text().strip()

    root = StaticProvider(secret("store_root_user"), secret("store_root_password"))
    admin = MinioAdmin(endpoint=os.environ["STORE"], credentials=root, secure=False)
    user, password = secret("store_auth").split(":", 1)
    policy = f"course-{course}"
    admin.policy_add(policy, policy=json.loads(POLICY.read_text().replace("COURSE", course)))
    admin.user_add(user, password)
    if policy not in json.loads(admin.user_info(user)).get("policyName", "").split(","):
        admin.policy_set(policy, user=user)


if __name__ == "__main__":
    main()
