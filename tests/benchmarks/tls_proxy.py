"""TLS before a PostgreSQL that has none: the wheel's is built without it.

    with TLSProxy(port, "127.0.0.1") as proxy:
        connection |= {"port": proxy.port, "extra": {"sslmode": "verify-full", "sslrootcert": str(proxy.authority)}}

It lies beside `postgresql.py`, and for the same reason.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import struct
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
# https://www.postgresql.org/docs/current/protocol-message-formats.html
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TLSProxy:
    """Takes TLS connections and goes on in clear text; refuses whoever begins in clear text.

    :param port: of the server behind it, on loopback.
    :param name: for which the certificate is good.
    """

    def __init__(self, port: int, name: str) -> None:
        self.behind = port
        self.name = name
        self.encrypted = 0
        self.in_clear_text = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            home = Path(stack.enter_context(TemporaryDirectory(prefix="tls-")))
            self.authority = home / "authority.crt"
            self.context = server_context(home, self.authority, self.name)
            self.loop = asyncio.new_event_loop()
            stack.callback(self.loop.close)
            thread = Thread(target=self.loop.run_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(self.loop.call_soon_threadsafe, self.loop.stop)
            self.server = asyncio.run_coroutine_threadsafe(
                asyncio.start_server(self.handle, HOST, 0), self.loop
            ).result()
            stack.callback(lambda: asyncio.run_coroutine_threadsafe(self.stop(), self.loop).result())
            self.port = int(self.server.sockets[0].getsockname()[1])
            self.leave = stack.pop_all().close
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    async def stop(self) -> None:
        """End every connection."""
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                self.in_clear_text += 1
            else:
                writer.write(b"S")
                await writer.start_tls(self.context)
                self.encrypted += 1
                server_reader, server_writer = await asyncio.open_connection(HOST, self.behind)
                await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand over what comes, to its end."""
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def server_context(home: Path, authority: Path, name: str) -> ssl.SSLContext:
    """Make an authority, and a certificate of it for a name or an address."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    root = signed(issuer, authority_key, issuer, authority_key, x509.BasicConstraints(ca=True, path_length=None))
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    try:
        shown: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        shown = x509.DNSName(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = signed(subject, key, issuer, authority_key, x509.SubjectAlternativeName([shown]))
    chain = home / "server.pem"
    chain.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    """Return a certificate for an hour."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(extension, critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())
