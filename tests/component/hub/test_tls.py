"""TLS with a Hub that has ``internal_ssl``: certificates made by the Hub's own tool, real sockets."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from hubcull_hub.hub_answers import HubTlsError, HubUnreachableError
from hubcull_hub.hub_api import HubApi
from hubcull_hub.tls import CertFiles, HubTls, TlsError, client_context, files_below, files_of_hub
from tests.component.hub.certs import HubCerts, make_certs
from tests.component.hub.fake_hub import FakeHub


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> HubCerts:
    """Return certificates that no test changes."""
    return make_certs(tmp_path_factory.mktemp("certs") / "internal-ssl")


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> HubCerts:
    """Return those of another Hub."""
    return make_certs(tmp_path_factory.mktemp("others") / "internal-ssl")


def given(certs: HubCerts) -> CertFiles:
    """Return the files that the Hub names for a service."""
    files = files_of_hub(certs.environment)
    assert files is not None
    return files


def ask(hub_certs: HubCerts, tls: HubTls | None) -> tuple[str, FakeHub]:
    """Ask a Hub with TLS for its version; return it, and the Hub."""

    async def run() -> tuple[str, FakeHub]:
        hub = FakeHub()
        async with hub.serve(hub_certs.hub_context()) as url, HubApi(url, hub.token, tls=tls) as api:
            assert url.startswith("https://127.0.0.1:")
            return await api.version(), hub

    return asyncio.run(run())


def test_the_hub_is_reached_with_the_files_it_gives_a_service(made: HubCerts) -> None:
    """Nothing has to be configured."""
    assert ask(made, HubTls(given(made)))[0] == "6.1.1"


@pytest.mark.parity("1a.ssl_enabled")
def test_the_hub_is_reached_with_its_own_files(made: HubCerts) -> None:
    """As jupyterhub-idle-culler does it, with internal_certs_location."""
    assert ask(made, HubTls(files_below(str(made.folder))))[0] == "6.1.1"


def test_a_hub_that_is_not_ours_is_not_asked(made: HubCerts, others: HubCerts) -> None:
    """Its certificate is not of our CA: the token is not sent."""
    with pytest.raises(HubTlsError, match=r"not accepted by the CA in .*hub-ca\.crt .* must be the Hub's"):
        ask(others, HubTls(files_below(str(made.folder))))


def test_a_hub_under_another_name_is_not_asked(tmp_path: Path) -> None:
    """The name in the certificate must be that of the URL."""
    certs = make_certs(tmp_path / "ssl", names=["DNS:hub.example"])
    with pytest.raises(HubTlsError, match=r"127\.0\.0\.1"):
        ask(certs, HubTls(given(certs)))


def test_without_certificates_the_remedy_is_named(made: HubCerts) -> None:
    """An https Hub is checked against the system's CAs, of which internal_ssl's is none."""
    with pytest.raises(HubTlsError, match=r"the system's CAs.*needs ssl_enabled and internal_certs_location"):
        ask(made, None)


def test_a_hub_that_does_not_take_our_certificate_is_unreachable(made: HubCerts, others: HubCerts) -> None:
    """Half of the files are another Hub's: it hangs up, and the log says on what."""
    mixed = CertFiles(given(others).key, given(others).cert, given(made).ca, remedy="")
    with pytest.raises(HubUnreachableError, match=r"must be the Hub's: .*user-service\.key"):
        ask(made, HubTls(mixed))


@pytest.mark.parametrize("broken", ["key", "cert", "ca"])
@pytest.mark.parametrize("how", ["missing", "empty", "folder"])
def test_a_file_that_can_not_be_used_is_named_with_the_remedy(
    made: HubCerts, tmp_path: Path, broken: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, empty or no file at all; the others are all right."""
    files = given(made)
    path = tmp_path / "other.pem"
    if how == "empty":
        path.touch()
    elif how == "folder":
        path.mkdir()
    paths = {"key": files.key, "cert": files.cert, "ca": files.ca, broken: path}
    client_context(files)
    monkeypatch.setattr("hubcull_hub.tls._PAUSE", 0.0)
    with pytest.raises(TlsError, match=rf"{path}.*make it right"):
        client_context(CertFiles(**paths, remedy="make it right"))


def test_a_key_with_a_password_is_refused_and_not_asked_for(made: HubCerts, tmp_path: Path) -> None:
    """A question at the terminal would be waited for without end."""
    files, locked = given(made), tmp_path / "locked.key"
    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked.write_bytes(key.private_bytes(form, kind, serialization.BestAvailableEncryption(b"x")))
    with pytest.raises(TlsError, match=rf"{locked}, can not be used: it is encrypted"):
        client_context(CertFiles(locked, files.cert, files.ca, remedy=""))


def test_some_variables_without_the_others_are_refused(made: HubCerts) -> None:
    """All of them or none."""
    some = {k: v for k, v in made.environment.items() if k != "JUPYTERHUB_SSL_CERTFILE"}
    with pytest.raises(TlsError, match="JUPYTERHUB_SSL_CERTFILE is not set"):
        files_of_hub(some)
    assert files_of_hub({}) is None


def test_a_pair_that_is_just_being_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub writes the pair anew for each service that it starts: key first, certificate after."""
    certs = make_certs(tmp_path / "ssl")
    files = given(certs)
    old = tmp_path / "old.crt"
    shutil.copy(files.cert, old)
    certs.give_service_a_new_pair()
    new = files.cert.read_bytes()
    shutil.copy(old, files.cert)
    with pytest.raises(TlsError, match="no pair"):
        client_context(files)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            files.cert.write_bytes(new)

    monkeypatch.setattr("hubcull_hub.tls.time.sleep", pause)
    client_context(files)
    assert len(pauses) == 2
    assert min(pauses) > 0


def test_changed_certificates_are_read_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A Hub that came back with a new CA is reached; half-written files do no harm meanwhile."""
    caplog.set_level(logging.INFO)
    certs = make_certs(tmp_path / "ssl")
    tls = HubTls(files_below(str(certs.folder)))
    assert ask(certs, tls)[0] == "6.1.1"
    first = tls.context()
    assert tls.context() is first

    intact = tls.files.ca.read_text()
    tls.files.ca.write_text("")
    assert tls.context() is first
    assert "going on with the certificates from before" in caplog.text
    tls.files.ca.write_text(intact)
    assert ask(certs, tls)[0] == "6.1.1"

    renewed = make_certs(tmp_path / "ssl")
    assert ask(renewed, tls)[0] == "6.1.1"
    assert "were read anew" in caplog.text
