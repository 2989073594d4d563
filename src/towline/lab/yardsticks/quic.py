# SPDX-License-Identifier: GPL-2.0-only
"""The yardstick `quic-aioquic`: a file over one stream of a QUIC connection, by aioquic, which is written in Python."""

from __future__ import annotations

import datetime
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from towline.lab import leftovers
from towline.lab.environments import veth
from towline.lab.yardsticks import two_ends
from towline.lab.yardsticks.job import Job

PORT = 5206
CONGESTION = ("cubic", "reno")  # what aioquic has
HEADERS_BYTES = 28  # of IPv4 and UDP
_NAME = "towline"


def measure(job: Job, path: veth.Path | None = None) -> dict[str, Any]:
    """Carry out a job; the handshake, with a certificate made for it and not verified, is before the clock.

    Not aioquic's defaults: flow control that never limits, datagrams that fill the MTU, 8 MiB in the server's socket,
    and cubic where a job asks for it or for what aioquic has not. Raises what `two_ends.measure` raises.
    """
    job = replace(job, congestion=job.congestion if job.congestion in CONGESTION else CONGESTION[0])
    tool = f"aioquic {metadata.version('aioquic')}, one stream, TLS 1.3"
    with leftovers.temporary_folder(0) as folder:
        _make_certificate(folder)
        more = (str(folder), str(job.mtu - HEADERS_BYTES))
        module = "towline.lab.yardsticks.quic_ends"
        return two_ends.measure("quic-aioquic", job, path, module=module, tool=tool, port=PORT, more=more)


def _make_certificate(folder: Path) -> None:
    # aioquic brings it; without aioquic this module is to be importable, for its words why it does not work.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        subject_name=name,
        issuer_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(days=1),
        not_valid_after=now + datetime.timedelta(days=1),
    ).sign(key, hashes.SHA256())
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
