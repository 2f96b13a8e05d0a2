"""Laws of settings: a file wins over the environment, and a bad value is named and harmless."""

from __future__ import annotations

import logging

import pytest
from traitlets.config import Config

from hubcull_server_ext.app import HubcullExtension, about

HUB = "JUPYTERHUB_PUBLIC_HUB_URL"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUBCULL_URL", "HUBCULL_SERVICE_URL", HUB):
        monkeypatch.delenv(name, raising=False)


def settings(**values: object) -> HubcullExtension:
    """Return the extension with these values from a configuration file."""
    return HubcullExtension(config=Config(HubcullExtension=values), log=logging.getLogger("test"))


def test_service_is_found_in_order_and_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """File, then environment, then the Hub's public address, else nothing."""
    assert settings().found_service_url() == ""
    monkeypatch.setenv(HUB, "https://hub.example/jhub/hub/")
    assert settings().found_service_url() == "https://hub.example/jhub/services/hubcull/"
    monkeypatch.setenv("HUBCULL_URL", "http://proxy/services/hubcull")
    assert settings().found_service_url() == "http://proxy/services/hubcull/"
    assert settings(service_url="http://file/").found_service_url() == "http://file/"


def test_address_that_is_none_is_named_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """A wrong address is a clear warning and an inert extension."""
    assert settings(service_url="proxy:8000").found_service_url() == ""
    assert "proxy:8000" in caplog.text


def test_environment_sets_what_no_file_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawner can set every trait; a configuration file wins."""
    monkeypatch.setenv("HUBCULL_WATCH_KERNELS", "off")
    monkeypatch.setenv("HUBCULL_SAMPLE_INTERVAL", "2.5")
    monkeypatch.setenv("HUBCULL_NOT_WORK", "sleep, mytool")
    found = settings()
    assert (found.watch_kernels, found.sample_interval) == (False, 2.5)
    assert found.not_work == ["sleep", "mytool"]
    assert settings(watch_kernels=True).watch_kernels is True


def test_every_switch_has_a_variable_and_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawner can switch each of them off; nothing else is off by that."""
    switches = {name for name in HubcullExtension.class_trait_names() if name.startswith("watch_")}
    assert len(switches) >= 14
    for name in switches:
        with monkeypatch.context() as patch:
            patch.setenv(f"HUBCULL_{name.upper()}", "false")
            found = settings()
            assert {switch for switch in switches if not getattr(found, switch)} == {name}


def test_defaults_hold_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is watched every five seconds unless told otherwise; an empty variable tells nothing."""
    monkeypatch.setenv("HUBCULL_SAMPLE_INTERVAL", " ")
    found = settings()
    assert all((found.watch_kernels, found.watch_terminals, found.watch_requests, found.watch_foreign))
    assert found.watch_background
    assert found.watch_apps
    assert found.watch_keepalive
    assert found.watch_plugins
    assert found.watch_app_files
    assert not found.publish_work
    assert found.app_checks == []
    monkeypatch.setenv("HUBCULL_APP_CHECKS", '[{"app": "shiny", "file": "used"}]')
    assert settings().app_checks == [{"app": "shiny", "file": "used"}]
    monkeypatch.setenv("HUBCULL_APP_CHECKS", '{"app": "shiny"}')
    assert settings().app_checks == []
    assert found.watch_collaboration
    assert "healthz$" in found.app_heartbeats
    assert (found.sample_interval, found.first_report_within) == (5.0, 5.0)
    assert "sleep" in found.not_work


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        ("SAMPLE_INTERVAL", "soon", 5.0),
        ("SAMPLE_INTERVAL", "-1", 5.0),
        ("WATCH_KERNELS", "maybe", True),
        ("KERNEL_START_LIMIT", "-1", 600.0),
    ],
)
def test_bad_value_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str, default: object
) -> None:
    """The warning names variable, value and what was expected, and the default is used."""
    monkeypatch.setenv(f"HUBCULL_{name}", value)
    assert getattr(settings(), name.lower()) == default
    assert f"HUBCULL_{name} is '{value}'; expected" in caplog.text


def test_a_limit_of_zero_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other intervals can not be zero."""
    for value in ("0", "0.0", "3600"):
        monkeypatch.setenv("HUBCULL_KERNEL_START_LIMIT", value)
        assert settings().kernel_start_limit == float(value)
    monkeypatch.setenv("HUBCULL_SAMPLE_INTERVAL", "0")
    assert settings().sample_interval == 5.0


def test_about_reads_limits_and_survives_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits are bytes and cores; a value that is none is left out."""
    monkeypatch.setenv("MEM_LIMIT", "2147483648")
    monkeypatch.setenv("CPU_LIMIT", "1.5")
    monkeypatch.setenv("CPU_GUARANTEE", "some")
    monkeypatch.setenv("JUPYTER_IMAGE", "image:1")
    found = about()
    assert (found.mem_limit, found.cpu_limit, found.cpu_guarantee) == (2147483648, 1.5, None)
    assert (found.image, found.mem_guarantee) == ("image:1", None)
