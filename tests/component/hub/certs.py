"""Certificates as a Hub with ``internal_ssl`` makes them: the same tool, the same folder, the same trust."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from certipy import Certipy  # type: ignore[import-untyped]

_TRUST = {
    "hub-ca": ["hub-ca", "proxy-client-ca", "notebooks-ca"],
    "notebooks-ca": ["hub-ca", "proxy-client-ca"],
}
_HERE = ["DNS:localhost", "IP:127.0.0.1"]


@dataclass(frozen=True)
class HubCerts:
    """The Hub's folder, and what it puts into the environment of a service."""

    folder: Path
    environment: dict[str, str]

    def hub_context(self) -> ssl.SSLContext:
        """Return what the Hub listens with: it takes nobody without a certificate."""
        return self._context(ssl.Purpose.CLIENT_AUTH, "hub-internal", "hub-ca")

    def proxy_context(self) -> ssl.SSLContext:
        """Return what the proxy reaches services and servers with."""
        return self._context(ssl.Purpose.SERVER_AUTH, "proxy-client", "hub-ca")

    def _context(self, purpose: ssl.Purpose, pair: str, trusts: str) -> ssl.SSLContext:
        context = ssl.create_default_context(purpose, cafile=self.folder / f"{trusts}_trust.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.folder / pair / f"{pair}.crt", self.folder / pair / f"{pair}.key")
        return context

    def give_service_a_new_pair(self) -> None:
        """Make what the Hub makes whenever it starts a service."""
        _sign(Certipy(store_dir=str(self.folder)), "user-service", "notebooks-ca", overwrite=True)


def make_certs(folder: Path, names: list[str] | None = None) -> HubCerts:
    """Make everything anew in this folder; ``names`` are the Hub's, those of loopback unless given."""
    store = Certipy(store_dir=str(folder), remove_existing=True)
    store.trust_from_graph(_TRUST)
    _sign(store, "hub-internal", "hub-ca", names=names)
    _sign(store, "proxy-client", "proxy-client-ca")
    _sign(store, "user-service", "notebooks-ca")
    pair = folder / "user-service"
    environment = {
        "JUPYTERHUB_SSL_KEYFILE": str(pair / "user-service.key"),
        "JUPYTERHUB_SSL_CERTFILE": str(pair / "user-service.crt"),
        "JUPYTERHUB_SSL_CLIENT_CA": str(folder / "notebooks-ca_trust.crt"),
    }
    return HubCerts(folder, environment)


def _sign(
    store: Certipy, name: str, authority: str, *, names: list[str] | None = None, overwrite: bool = False
) -> None:
    store.create_signed_pair(name, authority, alt_names=names or _HERE, overwrite=overwrite)
