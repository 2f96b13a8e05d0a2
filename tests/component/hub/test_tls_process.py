"""The real process beside a Hub with ``internal_ssl``: what it is given, what it is told, what is wrong."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path

import pytest

from hubcull_hub.config import load
from hubcull_hub.dialect import ConfigError
from tests.component.hub.certs import HubCerts, make_certs
from tests.component.hub.test_process import Service, fake_hub, wait_for

OPTIONS = ("--warm-up=0", "--timeout=60", "--cull-every=1")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> HubCerts:
    """Return the certificates of one Hub."""
    return make_certs(tmp_path_factory.mktemp("certs") / "internal-ssl")


def test_it_stops_what_is_idle_with_what_the_hub_gives_it(certs: HubCerts, tmp_path: Path) -> None:
    """Both sides speak TLS; whoever has no certificate of the Hub's is not let in."""
    with fake_hub(certs.hub_context()) as (hub, url):
        hub.add_server("alice")
        proxy = certs.proxy_context()
        service = Service(tmp_path, url, *OPTIONS, tls=proxy, given=certs.environment)
        try:
            assert b'"service": "hubcull"' in service.wait_up()
            assert wait_for(lambda: not hub.is_running("alice")), service.log.read_text()
            stranger = ssl.create_default_context(cafile=certs.folder / "notebooks-ca" / "notebooks-ca.crt")
            with pytest.raises(OSError, match=r"(?i)certificate required|closed|reset|handshake"):
                urllib.request.urlopen(service.url, context=stranger)  # noqa: S310 - loopback
        finally:
            assert service.stop() == 0
        assert ", with TLS" in service.log.read_text()
        assert "can not check such a url" in service.log.read_text()


def test_with_a_hub_that_is_not_trusted_nothing_is_stopped(certs: HubCerts, tmp_path: Path) -> None:
    """The log says what to do; the same server is stopped as soon as the right certificates are there."""
    folder = tmp_path / "internal-ssl"
    make_certs(folder)
    with fake_hub(certs.hub_context()) as (hub, url):
        hub.add_server("alice")
        service = Service(tmp_path, url, *OPTIONS, "--ssl-enabled", managed=False)
        try:
            service.wait_up()
            said = "its certificate is not accepted by the CA in"
            assert wait_for(lambda: service.log.read_text().count(said) >= 2), service.log.read_text()
            assert hub.requests == []
            assert hub.is_running("alice")
            for file in sorted(certs.folder.rglob("hub-*.*")):
                (folder / file.relative_to(certs.folder)).write_bytes(file.read_bytes())
            assert wait_for(lambda: not hub.is_running("alice")), service.log.read_text()
        finally:
            assert service.stop() == 0
        assert "were read anew" in service.log.read_text()


def test_with_a_broken_option_the_hubs_check_is_answered_with_tls(certs: HubCerts, tmp_path: Path) -> None:
    """As without TLS: the error is at the address."""
    proxy = certs.proxy_context()
    service = Service(
        tmp_path, "https://127.0.0.1:9/hub/api", "--timeuot=5", tls=proxy, given=certs.environment
    )
    try:
        assert b"misconfigured" in service.wait_up()
    finally:
        assert service.stop() == 0


@pytest.mark.parametrize(
    ("options", "given", "said"),
    [
        (["--ssl-enabled"], {}, r"/internal-ssl/hub-internal/hub-internal\.key, can not be used: No such"),
        (
            ["--ssl-enabled", "--internal-certs-location=x"],
            {},
            r"/x/hub-internal.*let internal_certs_location",
        ),
        ([], {"JUPYTERHUB_SSL_KEYFILE": "k"}, "JUPYTERHUB_SSL_CERTFILE is not set"),
        ([], {"JUPYTERHUB_SERVICE_URL": "https://127.0.0.1:5"}, "is https, and there is no certificate"),
    ],
)
def test_what_can_not_be_used_is_an_error_with_a_remedy(
    options: list[str],
    given: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the start; nothing is stopped then."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hubcull_hub.tls._PAUSE", 0.0)
    env = {"JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_API_URL": "https://127.0.0.1:9/hub/api", **given}
    with pytest.raises(ConfigError, match=said):
        load(options, env)


def test_which_files_are_taken(certs: HubCerts) -> None:
    """The options before the Hub's variables, and neither for a Hub without TLS."""
    https = {"JUPYTERHUB_API_TOKEN": "t", "JUPYTERHUB_API_URL": "https://h/hub/api", **certs.environment}
    told = ["--ssl-enabled", f"--internal-certs-location={certs.folder}"]
    by_hub, by_options = load([], https).hub_certs, load(told, https).hub_certs
    assert by_hub is not None
    assert by_options is not None
    assert (by_hub.key.name, by_options.key.name) == ("user-service.key", "hub-internal.key")
    assert load([], {**https, "JUPYTERHUB_API_URL": "http://h/hub/api"}).hub_certs is None
    without = {name: https[name] for name in ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_API_URL")}
    assert load([], without).hub_certs is None


def test_tls_that_ends_in_front_of_the_service_is_none_of_its_business() -> None:
    """An https url, another address to listen on, and no certificate: somebody else has it."""
    env = {
        "JUPYTERHUB_API_TOKEN": "t",
        "JUPYTERHUB_API_URL": "http://h/hub/api",
        "JUPYTERHUB_SERVICE_URL": "https://h:1/",
    }
    assert load(["--bind=127.0.0.1:10101"], env).own_certs is None
