"""Certificates as tests need them: good ones, and every kind of bad one."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme

from bench.driver.tls import TlsFiles


def issue(ca: trustme.CA, folder: Path, name: str, *hosts: str, **options: Any) -> TlsFiles:
    """A certificate of this authority that names the hosts, in files of this name."""
    folder.mkdir(exist_ok=True)
    issued = ca.issue_cert(*hosts, **options)
    authority, certificate, key = (folder / f"{name}{suffix}" for suffix in ("-ca.pem", ".pem", ".key"))
    ca.cert_pem.write_to_path(authority)
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(key)
    return TlsFiles(str(authority), str(certificate), str(key))


def table(files: TlsFiles) -> dict[str, str]:
    """As a scenario has it."""
    return {"ca": files.ca, "certificate": files.certificate, "key": files.key}
