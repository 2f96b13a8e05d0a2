"""Laws of whose a process is: ours by descent or by our environment, and never another server's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from hubcull_server_ext.signals.background_jobs import Key
from hubcull_server_ext.signals.belonging import Belongings, Owner, marks_of, owner
from hubcull_server_ext.signals.kernel_processes import KernelProcess, kernel_processes
from hubcull_server_ext.signals.places import sort_out
from hubcull_server_ext.signals.processes import ProcessTable

OURS = {
    "JUPYTERHUB_API_URL": "http://hub:8081/hub/api",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
    "JUPYTERHUB_USER": "ada",
    "JUPYTERHUB_SERVER_NAME": "",
}
NAMED = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/gpu/", "JUPYTERHUB_SERVER_NAME": "gpu"}
OTHER_HUB = {"JUPYTERHUB_API_URL": "http://other:8081/hub/api"}
SSH = {"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22", "HOME": "/home/ada"}
PTS = 34816 + 3  # pts/3, as `stat` tells it


def environ(entries: Mapping[str, str]) -> bytes:
    """Return an environment as Linux shows it."""
    return b"".join(f"{name}={value}\0".encode() for name, value in entries.items())


@pytest.mark.parametrize(
    ("environment", "whose"),
    [
        ({**OURS, "HOME": "/home/ada"}, Owner.OURS),
        ({**OURS, **NAMED}, Owner.OTHERS),
        ({**OURS, **OTHER_HUB}, Owner.OTHERS),
        ({**OURS, "JUPYTERHUB_USER": "adam"}, Owner.OTHERS),
        ({"JUPYTERHUB_USER": "ada"}, Owner.OTHERS),
        ({**SSH, "JUPYTERHUB_USER": "bob"}, Owner.OTHERS),
        (SSH, Owner.SSH),
        ({"HOME": "/home/ada"}, Owner.NOBODY),
        ({"NOTE": "JUPYTERHUB_USER=ada"}, Owner.NOBODY),
        ({}, Owner.NOBODY),
    ],
)
def test_an_environment_tells_whose_a_process_is(environment: dict[str, str], whose: Owner) -> None:
    """All marks must be ours: one user has many servers, one machine many Hubs."""
    assert owner(environ(environment), marks_of(OURS)) is whose


def test_a_server_without_marks_of_its_own_claims_nothing() -> None:
    """Then any process of any environment would be its."""
    assert owner(environ(OURS), marks_of({"HOME": "/"})) is Owner.NOBODY
    assert owner(None, marks_of(OURS)) is Owner.NOBODY


class World:
    """A folder of process files as Linux would have them."""

    def __init__(self, root: Path) -> None:
        self.root, self.table = root, ProcessTable(root)

    def add(self, pid: int, parent: int, env: Mapping[str, str] | None = None, tty: int = 0) -> None:
        """Add a process, which leads a session of its own."""
        folder = self.root / str(pid)
        folder.mkdir()
        rest = f"S {parent} {pid} {pid} {tty} {pid} 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 0 0"
        (folder / "stat").write_text(f"{pid} (x) {rest}\n")
        if env is not None:
            (folder / "environ").write_bytes(environ(env))

    def alone(self, contained: bool = True) -> bool:
        """Return whether the server has its container to itself."""
        self.table.refresh()
        belongings = Belongings(self.table, 100, OURS, contained)
        belongings.read(1e6)
        return belongings.alone

    def ours(self, contained: bool = False, own: Mapping[str, str] | None = None) -> set[int]:
        """Return the numbers of the processes of the server, which is 100."""
        self.table.refresh()
        found = Belongings(self.table, 100, OURS if own is None else own, contained).read(1e6)
        return {process.pid for process in found}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make a machine with an init, a Hub, and the server 100 below it with the kernel 110."""
    world = World(tmp_path)
    world.add(1, 0, OURS)
    world.add(50, 1, {"HOME": "/srv"})
    world.add(100, 50, OURS)
    world.add(110, 100, OURS)
    return world


def test_descent_and_environment_make_a_process_ours(world: World) -> None:
    """With all that descends from it; what started the server has its environment and is not ours."""
    world.add(120, 110, {"HOME": "/"})  # env -i in a kernel
    world.add(200, 1, OURS)  # nohup setsid
    world.add(210, 200)  # sudo below it: not to be read
    world.add(300, 50, {**OURS, **NAMED})  # the same user's other server
    world.add(310, 1, {**OURS, **NAMED})
    world.add(400, 1, {"HOME": "/"})
    assert world.ours() == {110, 120, 200, 210}


@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 16385, 100_000, 1 << 20, (1 << 20) + 1])
def test_an_environment_is_read_to_its_end(world: World, length: int) -> None:
    """However many parts it is read in; of one that is longer than anybody's, the beginning."""
    content = bytes(number % 251 for number in range(length))
    (world.root / "110" / "environ").write_bytes(content)
    world.table.refresh()
    kernel = world.table.get(110)
    assert kernel is not None
    assert world.table.environment(kernel) == content[: 1 << 20]


def test_another_users_process_is_never_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment can say anything; the user's number can not."""
    world.add(200, 1, OURS)
    monkeypatch.setattr(world.table, "owner", lambda p: 1001 if p.pid == 200 else os.getuid())
    assert world.ours() == {110}
    monkeypatch.setattr(world.table, "owner", lambda _: os.getuid())
    assert world.ours() == {110, 200}


def test_a_session_over_ssh_is_ours_only_where_nobody_else_could_be_meant(world: World) -> None:
    """In a container with one server, and not where the server itself was started over ssh."""
    world.add(200, 1, SSH)
    world.add(210, 200, tty=PTS)
    assert world.ours(contained=True) == {110, 200, 210}
    assert world.ours(contained=False) == {110}
    assert world.ours(contained=True, own={**OURS, **SSH}) == {110}
    world.add(300, 1, {**OURS, **NAMED})
    assert world.ours(contained=True) == {110}


def test_a_container_is_the_servers_alone_if_nobody_else_runs_anything_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for root, which starts servers; on the machine itself that says nothing."""
    owners = {1: 0, 50: 0, 200: 1001}
    monkeypatch.setattr(world.table, "owner", lambda p: owners.get(p.pid, 1000))
    assert world.alone()
    assert not world.alone(contained=False)
    world.add(200, 1, {"HOME": "/"})
    assert not world.alone()
    owners[200] = 1000
    assert world.alone()
    world.add(300, 50, {**OURS, **NAMED})
    assert not world.alone()


def test_a_server_that_can_not_see_itself_is_a_fault(tmp_path: Path) -> None:
    """Nothing follows from such a table."""
    with pytest.raises(ProcessLookupError):
        World(tmp_path).ours()


def test_each_process_has_one_place(world: World) -> None:
    """Terminals first, the older first; then kernels, the server, and what is detached.

    The number of a kernel on another machine may be the number of any process here.
    """
    world.add(111, 110)  # a kernel's child
    world.add(112, 110, tty=PTS)  # a terminal that a kernel opened
    world.add(130, 100, tty=PTS + 1)  # one of the server's own terminals
    world.add(131, 130)  # a job in it, in a session of its own
    world.add(140, 100)  # a proxied app
    world.add(141, 140, tty=PTS + 2)  # its terminal
    world.add(142, 141, tty=PTS + 3)  # a terminal within
    world.add(200, 1, OURS)
    world.table.refresh()
    members = Belongings(world.table, 100, OURS, contained=False).read(1e6)
    kernel = KernelProcess(110, "kernel:12345678", None)
    elsewhere = [KernelProcess(pid, f"kernel:{pid}", None) for pid in (100, 111, 141, 200, 7777)]
    places = sort_out(world.table, members, [kernel, *elsewhere], [130], 100)
    assert [(t.first.pid, t.source, t.kernel) for t in places.ttys] == [
        (112, "pts:3", kernel),
        (141, "pts:5", None),
    ]
    assert {place.process.pid: place.key for place in places.rest} == {
        110: Key("kernel:12345678", 110, itself=True),
        111: Key("kernel:12345678", 111),
        140: Key("server", 140),
        200: Key("detached", 200),
    }


class FakeManagers:
    """Three kernels: a local one, one on another machine, and one that is gone when asked for."""

    def list_kernel_ids(self) -> list[str]:
        return ["local-kernel", "remote", "gone"]

    def get_kernel(self, kernel_id: str) -> object:
        if kernel_id == "gone":
            raise KeyError(kernel_id)
        return type("Manager", (), {"provisioner": type("P", (), {"pid": 7})} if "local" in kernel_id else {})


def test_only_kernels_of_this_machine_have_processes() -> None:
    """Others are left out, without an error."""
    assert kernel_processes(FakeManagers(), lambda _: 5.0) == [KernelProcess(7, "kernel:local-ke", 5.0)]
