"""TLS with an ``internal_ssl`` Hub: which files hold our key, certificate and CA, and contexts made of them.

A Hub with ``internal_ssl`` proves itself by a certificate of its own CA, and talks to nobody who does not. It
names the files for the services that it starts in ``JUPYTERHUB_SSL_*``; others find them in its folder.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

_VARIABLES = ("JUPYTERHUB_SSL_KEYFILE", "JUPYTERHUB_SSL_CERTFILE", "JUPYTERHUB_SSL_CLIENT_CA")
_TRIES = 5
_PAUSE = 0.2
"""Seconds between two tries: the Hub writes key and certificate anew, one after the other, whenever it starts
a service, and all its services share them."""


class TlsError(Exception):
    """Files that can not be used; the text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class CertFiles:
    """Where key, certificate and CA are; ``remedy`` ends the sentence about one that can not be used."""

    key: Path
    cert: Path
    ca: Path
    remedy: str = field(repr=False)


def files_for_hub(env: Mapping[str, str], api_url: str, *, enabled: bool, location: str) -> CertFiles | None:
    """Return the files with which the Hub is asked, None for a Hub without ``internal_ssl``; they are tried.

    What the operator says (``enabled``, ``location``) comes before what the Hub gave.

    Raises:
        TlsError: when they can not be used.

    """
    files = files_below(location) if enabled else None
    if files is None and api_url.startswith("https:"):
        files = files_of_hub(env)
    if files is not None:
        client_context(files)
    return files


def files_for_listening(env: Mapping[str, str], *, elsewhere: bool) -> CertFiles | None:
    """Return the files to listen with where the service's url is https, else None; they are tried.

    ``elsewhere`` says that another address than the url's is listened on: without certificates somebody else
    speaks TLS for us there.

    Raises:
        TlsError: when there are none for such a url, or they can not be used.

    """
    if urlsplit(env.get("JUPYTERHUB_SERVICE_URL", "")).scheme != "https":
        return None
    files = files_of_hub(env)
    if files is not None:
        server_context(files)
    elif not elsewhere:
        raise TlsError(
            "the service's url is https, and there is no certificate for it; give an http url, or set "
            + ", ".join(_VARIABLES)
        )
    return files


def files_of_hub(env: Mapping[str, str]) -> CertFiles | None:
    """Return the files that the Hub gave to a service that it started, None where it gave none.

    Raises:
        TlsError: when it gave some only.

    """
    named = [env.get(variable, "") for variable in _VARIABLES]
    if not any(named):
        return None
    if not all(named):
        missing = next(v for v, name in zip(_VARIABLES, named, strict=True) if not name)
        raise TlsError(f"{missing} is not set; set {', '.join(_VARIABLES)}, all of them or none")
    key, cert, ca = map(Path, named)
    return CertFiles(
        key,
        cert,
        ca,
        remedy="JUPYTERHUB_SSL_* name it; a name is relative to the Hub's working directory, so give"
        " c.JupyterHub.internal_certs_location as an absolute path where the service has another",
    )


def files_below(location: str) -> CertFiles:
    """Return the Hub's own files below its folder of certificates, as jupyterhub-idle-culler uses them."""
    folder = Path(location).absolute()
    pair = folder / "hub-internal" / "hub-internal"
    return CertFiles(
        pair.with_suffix(".key"),
        pair.with_suffix(".crt"),
        folder / "hub-ca" / "hub-ca.crt",
        remedy="let internal_certs_location name the folder of c.JupyterHub.internal_certs_location,"
        " and let the service read it",
    )


def client_context(files: CertFiles) -> ssl.SSLContext:
    """Return what requests to the Hub are made with: its certificate and its name in it are checked.

    Only its own CA counts, and none of the system's: whoever can have a certificate of one of those, for the
    Hub's name, must not be taken for the Hub.

    Raises:
        TlsError: when a file is missing or can not be used.

    """
    return _load(ssl.Purpose.SERVER_AUTH, files)


def server_context(files: CertFiles) -> ssl.SSLContext:
    """Return what the service listens with: whoever comes must have a certificate, as Hub and proxy do.

    Raises:
        TlsError: when a file is missing or can not be used.

    """
    return _load(ssl.Purpose.CLIENT_AUTH, files)


class HubTls:
    """Contexts for requests to the Hub; files that change on disk are read anew for the next request.

    While the new ones can not be used the earlier ones are, and the log says so.

    Raises:
        TlsError: when the files can not be used to begin with.

    """

    def __init__(self, files: CertFiles) -> None:
        self.files = files
        self._seen = _stamp(files)
        self._context = client_context(files)

    def context(self) -> ssl.SSLContext:
        """Return the context of the files as they are now, as far as they can be used."""
        now = _stamp(self.files)
        if now != self._seen:
            self._seen = now
            try:
                self._context = _load_once(ssl.Purpose.SERVER_AUTH, self.files)
            except TlsError as error:
                log.warning("going on with the certificates from before: %s", error)
            else:
                log.info("certificates changed on disk and were read anew: %s", self.files.cert)
        return self._context


def fault_of(error: Exception, files: CertFiles | None) -> str | None:
    """Return in words how TLS failed, with the remedy; None where it was not TLS that failed."""
    found = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if not isinstance(found, ssl.SSLError):
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        ca = f"the CA in {files.ca}" if files else "the system's CAs"
        what = f"its certificate is not accepted by {ca} ({found.verify_message})"
    else:
        what = (found.reason or str(found)).replace("_", " ").lower()
    return f"{what}; {remedy_of(files)}"


def remedy_of(files: CertFiles | None) -> str:
    """Return what to do where Hub and service do not accept each other's certificates."""
    if files is None:
        return "a Hub with internal_ssl needs ssl_enabled and internal_certs_location"
    return f"key, certificate and CA must be the Hub's: {files.key}, {files.cert}, {files.ca}"


def _load(purpose: ssl.Purpose, files: CertFiles) -> ssl.SSLContext:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(TlsError):
            return _load_once(purpose, files)
        time.sleep(_PAUSE)
    return _load_once(purpose, files)


def _load_once(purpose: ssl.Purpose, files: CertFiles) -> ssl.SSLContext:
    for what, path in (("key", files.key), ("certificate", files.cert), ("CA", files.ca)):
        try:
            path.read_bytes()  # OpenSSL does not say which file is missing
        except OSError as error:
            raise _unusable(what, path, files, error.strerror or str(error)) from error
    try:
        context = ssl.create_default_context(purpose, cafile=files.ca)
    except ssl.SSLError as error:
        raise _unusable("CA", files.ca, files, "it holds no certificate") from error
    context.verify_mode = ssl.CERT_REQUIRED

    def no_password() -> NoReturn:
        # OpenSSL would ask at the terminal, and wait for ever.
        raise _unusable("key", files.key, files, "it is encrypted with a password")

    try:
        context.load_cert_chain(files.cert, files.key, password=no_password)
    except ssl.SSLError as error:
        raise _unusable("certificate", files.cert, files, f"no pair with {files.key}") from error
    return context


def _unusable(what: str, path: Path, files: CertFiles, why: str) -> TlsError:
    return TlsError(f"the {what} for TLS with the Hub, {path}, can not be used: {why}; {files.remedy}")


def _stamp(files: CertFiles) -> tuple[tuple[int, int, int] | None, ...]:
    """Return what changes when a file does."""
    return tuple(map(_stamp_of, (files.key, files.cert, files.ca)))


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
