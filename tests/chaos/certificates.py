"""An authority that all clients trust, what it signs for each host, and which certificate a host showed when."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
EXTENSIONS = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"


@dataclass
class Shown:
    """A certificate of one host."""

    fingerprint: str
    written: float                  # wall clock: from then on a process may show it
    in_force: float | None = None   # from then on none shows an earlier one; None: that was not waited for


class Authority:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.ca, self.count = folder, folder / "ca.pem", 0
        openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=chaos",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", folder / "ca.key", "-out", self.ca)
        (folder / "extensions").write_text(EXTENSIONS)

    def renew(self, path: Path) -> Shown:
        """A new certificate with its key in one file, so that both change at once."""
        self.count += 1
        key, request, signed = (self.folder / f"{self.count}.{kind}" for kind in ("key", "request", "pem"))
        openssl("req", *NEW_KEY, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", self.folder / "extensions", "-out", signed)
        text = signed.read_text()
        shown = Shown(fingerprint(ssl.PEM_cert_to_DER_cert(text)), time.time())
        replace(path, text + key.read_text())
        return shown


def fingerprint(certificate: bytes | None) -> str:
    return hashlib.sha256(certificate or b"").hexdigest()[:16]


def openssl(*words: Any) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def replace(path: Path, text: str) -> None:
    """A secret, written aside and renamed, as the manual has it."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)
