"""Which files of a workspace hold secrets: what a tool returns stands in prompts, spans and run folders for good."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

_FOLDERS: Final = frozenset({".git", ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker", ".gcloud"})
_NAMES: Final = frozenset(
    {".netrc", "_netrc", ".npmrc", ".pypirc", ".htpasswd", ".pgpass", ".git-credentials", "credentials.json",
     "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "secrets.toml", "secrets.yaml", "secrets.yml", "secrets.json"}
)  # fmt: skip
_ENDINGS: Final = (".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk")
_ENVIRONMENT = re.compile(r"\.env(\..*)?$")
_TEMPLATES: Final = (".example", ".sample", ".template", ".dist")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----")


def is_secret_path(path: str) -> bool:
    """Whether the relative path is one under which people keep keys and passwords."""
    parts = [part.lower() for part in PurePosixPath(path).parts]
    if not parts:
        return False
    name = parts[-1]
    if any(part in _FOLDERS for part in parts) or name in _NAMES or name.endswith(_ENDINGS):
        return True
    return _ENVIRONMENT.match(name) is not None and not name.endswith(_TEMPLATES)


def holds_private_key(data: bytes) -> bool:
    """Whether a file's content is, or has in it, a private key."""
    return _PRIVATE_KEY.search(data) is not None
