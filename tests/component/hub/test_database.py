"""The database: a real SQLite file, from its first table on."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite

from hubcull_hub.database import Database, DatabaseError
from hubcull_hub.migrations import VERSION_TABLE, upgrade
from hubcull_hub.migrations.tables import METADATA, Utc
from hubcull_hub.model import (
    Action,
    Basis,
    Clock,
    Fact,
    Reason,
    Received,
    Result,
    ServerKey,
    SourceFault,
    SourceRemark,
    Verdict,
)
from hubcull_hub.reading import read_report

GOLDEN = Path(__file__).parents[2] / "contract" / "wire_v1"
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
ALICE, GPU = ServerKey("alice", ""), ServerKey("alice", "gpu")
SIGNALS = (
    Fact("kernel_busy", "kernel:1", Clock.WORK, going_on_for=12.5, label="python3"),
    Fact("kernel_request", "kernel:1", Clock.PRESENCE, age=3.25, actor="bob"),
    Fact("terminal_job", "terminal:2", Clock.WORK, ended_ago=1.0, lasted=60.0),
    Fact("kernel_connections", "kernel:1", Clock.NONE, count=2),
)
REPORT = Received(
    started=NOON,
    boot_id="b1",
    sequence=7,
    uptime=100.5,
    utc=NOON + timedelta(seconds=9),
    mono=55.0,
    interval=60.0,
    heard=8.5,
    signals=SIGNALS,
    faults=(SourceFault("terminals", 4.5, "no such thing: é"),),
    carried=SIGNALS[:1],
    validated=True,
    start_took=7.25,
    weak_faults=(SourceFault("gpus", 2.5, "NvmlError"),),
    remarks=(SourceRemark("requests", off=True), SourceRemark("terminals", detail="no times: é")),
)
VERDICT = Verdict(
    key=ALICE,
    started=NOON,
    action=Action.CULL,
    reason=Reason.IDLE,
    rule="default",
    basis=Basis.REPORT,
    deadline=NOON + timedelta(seconds=600),
    template="nobody acted for {}",
    args=(600.0,),
    idle=600.0,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the database is."""
    return tmp_path / "hubcull.sqlite"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    """Open a new database, and close it after the test."""
    with closing(Database.open(f"sqlite:///{file}")) as opened:
        yield opened


def write_by_hand(file: Path, statement: str) -> None:
    """Change the file behind hubcull's back."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()


# -- evidence --------------------------------------------------------------------------------------


def test_evidence_comes_back_without_its_power_to_condemn(database: Database) -> None:
    """All of it comes back but the monotonic time and the validation, which died with the process."""
    database.write_evidence([(ALICE, REPORT)])
    assert database.load_evidence() == [(ALICE, REPORT._replace(mono=None, validated=False))]


def test_newer_evidence_replaces_older_and_gone_goes(database: Database) -> None:
    """There is one row per server; a server that is gone and came back in one batch is there."""
    database.write_evidence([(ALICE, REPORT), (GPU, REPORT)])
    newer = REPORT._replace(sequence=8, mono=None, validated=False)
    bob = ServerKey("bob", "")
    database.write_evidence([(ALICE, REPORT), (ALICE, newer), (bob, newer)], gone=[GPU, bob])
    assert dict(database.load_evidence()) == {ALICE: newer, bob: newer}


def test_times_of_another_zone_come_back_as_the_same_moment(database: Database) -> None:
    """What goes in aware comes out in UTC."""
    east = timezone(timedelta(hours=5, minutes=30))
    database.write_evidence([(ALICE, REPORT._replace(started=NOON.astimezone(east)))])
    ((_, loaded),) = database.load_evidence()
    assert loaded.started == NOON
    assert loaded.started.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "time",
    [
        NOON,
        NOON.replace(microsecond=0),
        NOON.astimezone(timezone(timedelta(hours=-11))),
        datetime.min.replace(tzinfo=timezone.utc),
        datetime.max.replace(tzinfo=timezone.utc),
    ],
)
def test_times_are_written_as_sqlalchemy_writes_them(time: datetime) -> None:
    """Every version reads the same text."""
    dialect = sqlite.dialect()
    ours, theirs = (kind.dialect_impl(dialect).bind_processor(dialect) for kind in (Utc(), sa.DateTime()))
    assert ours is not None
    assert theirs is not None
    assert ours(time) == theirs(time.astimezone(timezone.utc))
    assert ours(None) is None
    with pytest.raises(ValueError, match="without a zone"):
        ours(time.replace(tzinfo=None))


@pytest.mark.parametrize(
    "odd",
    [
        (ALICE, REPORT._replace(uptime=float("nan"))),
        (ALICE, REPORT._replace(heard=float("inf"))),
        (ALICE, REPORT._replace(sequence=2**63)),
        (ALICE, REPORT._replace(started=NOON.replace(tzinfo=None))),
        (ALICE, REPORT._replace(signals=(SIGNALS[0]._replace(age=float("nan")),))),
        (ServerKey("al\ud800ice", ""), REPORT),
    ],
)
def test_evidence_that_can_not_be_stored_harms_no_other(
    database: Database, odd: tuple[ServerKey, Received], caplog: pytest.LogCaptureFixture
) -> None:
    """One odd report is left out, counted, and named in the log once; the batch goes through."""
    for _ in range(3):
        database.write_evidence([odd, (GPU, REPORT)])
    assert [key for key, _ in database.load_evidence()] == [GPU]
    assert database.skipped == 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_report_comes_back_as_it_was_read(database: Database, path: Path) -> None:
    """What was not said is not stored as if it had been."""
    signals = read_report(path.read_bytes()).signals
    faults = (SourceFault("kernels", 5.0, 'a "quoted" word'),)
    database.write_evidence([(ALICE, REPORT._replace(signals=signals, faults=faults, carried=signals[:1]))])
    ((_, loaded),) = database.load_evidence()
    assert loaded.signals == tuple(map(Fact.of, signals))
    assert loaded.carried == loaded.signals[:1]
    assert loaded.faults == faults


def test_text_of_a_report_may_hold_anything(database: Database) -> None:
    """A boot id and labels of NULs and broken characters are stored, as far as text can be."""
    label = "a\x00b\ud800"
    report = REPORT._replace(boot_id=label, signals=(SIGNALS[0]._replace(label=label),))
    database.write_evidence([(ALICE, report)])
    ((_, loaded),) = database.load_evidence()
    assert loaded.boot_id == "ab"
    assert loaded.signals[0].label == label


@pytest.mark.parametrize(
    "damage",
    [
        "body = '{'",
        "body = '[]'",
        'body = \'{"signals": [{}], "faults": [], "carried": []}\'',
        "body = replace(body, '12.5', '\"long\"')",
        "body = replace(body, '\"work\"', '\"leisure\"')",
        "started = 'yesterday'",
        "received_utc = 5",
        "uptime = 'long'",
    ],
)
def test_damaged_row_is_skipped(
    database: Database, file: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that can not be read is left out and counted, and the others are read."""
    database.write_evidence([(ALICE, REPORT), (GPU, REPORT)])
    write_by_hand(file, f"UPDATE evidence SET {damage} WHERE server = ''")  # noqa: S608 - the cases above
    assert [key for key, _ in database.load_evidence()] == [GPU]
    assert database.skipped == 1
    assert "is skipped" in caplog.text


def test_fields_of_another_version_are_left_out(database: Database, file: Path) -> None:
    """A signal stored with a field that this version does not know is read without it."""
    database.write_evidence([(ALICE, REPORT)])
    write_by_hand(file, """UPDATE evidence SET body = replace(body, '"label"', '"mood": 1, "label"')""")
    ((_, loaded),) = database.load_evidence()
    assert loaded.signals == SIGNALS


def test_facts_are_kept_by_name(database: Database) -> None:
    """A fact replaces the one of its name and leaves the others."""
    database.write_evidence([], [], {"heard": 1.5, "other": 2})
    database.write_evidence([], [], {"heard": 3.5})
    assert database.load_facts() == {"heard": 3.5, "other": 2.0}


def test_ten_thousand_rows_are_written_in_one_batch(database: Database) -> None:
    """A large Hub's evidence is one statement for all rows, in one transaction, not ten thousand of each."""
    rows = [(ServerKey(f"user-{number}", ""), REPORT) for number in range(10_000)]
    done: list[str] = []

    def executed(*what: Any) -> None:
        done.append(f"{what[2].split()[0]} {len(what[3]) if what[-1] else 1}")

    def committed(_connection: Connection) -> None:
        done.append("COMMIT")

    sa.event.listen(sa.Engine, "before_cursor_execute", executed)
    sa.event.listen(sa.Engine, "commit", committed)
    try:
        database.write_evidence(rows, [], {"heard": 1.0})
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", executed)
        sa.event.remove(sa.Engine, "commit", committed)
    assert done == ["BEGIN 1", "INSERT 10000", "INSERT 1", "COMMIT"]
    assert len(database.load_evidence()) == 10_000


# -- decisions -------------------------------------------------------------------------------------


def test_decision_is_on_disk_before_it_is_acknowledged(database: Database, file: Path) -> None:
    """Another process reads it as soon as the id is returned; the result is added later."""
    number = database.record_decision(VERDICT, NOON)
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT id, result FROM decisions").fetchall() == [(number, None)]
    database.record_result(number, Result.STOPPED, "in 0.2 s")
    (decision,) = database.recent_decisions(ALICE)
    assert (decision.id, decision.at, decision.key, decision.started) == (number, NOON, ALICE, NOON)
    assert (decision.action, decision.reason, decision.basis) == ("cull", "idle", "report")
    assert decision.text == "nobody acted for 0:10:00"
    assert (decision.deadline, decision.idle) == (NOON + timedelta(seconds=600), 600.0)
    assert (decision.rule, decision.result, decision.detail) == ("default", "stopped", "in 0.2 s")


def test_recent_decisions_are_the_servers_own_newest_first(database: Database) -> None:
    """A server's trail holds nothing of another server's, and no more than was asked for."""
    for number in range(5):
        database.record_decision(VERDICT, NOON + timedelta(seconds=number))
        database.record_decision(VERDICT._replace(key=GPU, started=None, deadline=None, idle=None), NOON)
    assert [d.at.second for d in database.recent_decisions(ALICE, 3)] == [4, 3, 2]
    assert {(d.key, d.started, d.deadline, d.idle) for d in database.recent_decisions(GPU)} == {
        (GPU, None, None, None)
    }
    assert database.recent_decisions(ServerKey("bob", "")) == []


def test_prune_forgets_old_decisions_only(database: Database) -> None:
    """Evidence is forgotten with its server, not with age: it may be what protects a silent one."""
    old = database.record_decision(VERDICT, NOON)
    new = database.record_decision(VERDICT, NOON + timedelta(days=1))
    database.write_evidence([(ALICE, REPORT)])
    database.prune(NOON + timedelta(days=1))
    assert [d.id for d in database.recent_decisions(ALICE)] == [new]
    assert len(database.load_evidence()) == 1
    database.record_result(old, Result.STOPPED, "too late")  # nothing to note it on, and no error
    assert [d.result for d in database.recent_decisions(ALICE)] == [None]


def test_threads_take_turns(database: Database) -> None:
    """Calls from many threads at once all succeed."""

    def write(number: int) -> int:
        database.write_evidence([(ServerKey(f"u{number % 5}", ""), REPORT)])
        return database.record_decision(VERDICT, NOON)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(40)))) == 40
    assert len(database.load_evidence()) == 5


# -- opening ---------------------------------------------------------------------------------------


def test_reopened_database_holds_what_was_written(database: Database, file: Path) -> None:
    """The schema is brought up to date once; opening again finds it and the rows."""
    database.write_evidence([(ALICE, REPORT)])
    database.close()
    with closing(Database.open(f"sqlite:///{file}")) as again:
        assert len(again.load_evidence()) == 1


def test_migrations_give_the_tables_that_the_code_uses(database: Database) -> None:
    """The steps together and the description in code are the same schema."""
    with database._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_in_memory_database_is_one_for_all_threads() -> None:
    """A database without a file is the same one from every thread."""
    with closing(Database.open("sqlite://")) as database, ThreadPoolExecutor(2) as pool:
        pool.submit(database.write_evidence, [(ALICE, REPORT)]).result()
        assert len(pool.submit(database.load_evidence).result()) == 1


def test_migration_that_breaks_off_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle of a migration leaves the old schema, and the next start goes on from there."""

    def break_off(connection: Connection) -> None:
        upgrade(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr("hubcull_hub.database.upgrade", break_off)
    with pytest.raises(KeyboardInterrupt):
        Database.open(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    monkeypatch.undo()
    Database.open(f"sqlite:///{file}").close()


def test_database_of_a_newer_hubcull_is_refused(database: Database, file: Path) -> None:
    """The error names the file and the remedy, and the file is left as it was."""
    database.close()
    write_by_hand(file, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")  # noqa: S608 - our own name
    with pytest.raises(DatabaseError, match=r"newer hubcull.*9999.*Install") as caught:
        Database.open(f"sqlite:///{file}")
    assert str(file) in str(caught.value)


def test_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """A missing folder, a folder and a file of something else are clear errors with the path."""
    alien = tmp_path / "alien"
    alien.write_text("not a database at all, and long enough for a header " * 20)
    for path in (tmp_path / "missing" / "x.sqlite", tmp_path, alien):
        with pytest.raises(DatabaseError) as caught:
            Database.open(f"sqlite:///{path}")
        assert str(path) in str(caught.value)
    assert alien.read_text().startswith("not a database")


def test_new_file_is_for_its_owner_only(database: Database, file: Path) -> None:
    """It says who worked when: other users of the machine can not read it."""
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://hubcull:s3cret@127.0.0.1:1/db",
        "postgresql+nosuchdriver://hubcull:s3cret@127.0.0.1/db",
        "mysql://hubcull:s3cret@127.0.0.1/db",
        "nosuch://hubcull:s3cret@127.0.0.1/db",
        "postgresql://hubcull:a@b:s3cret@127.0.0.1:port/db",
        "s3cret",
        "postgresql://127.0.0.1:1/db?password=s3cret",
    ],
)
def test_no_password_in_any_error(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with the URL, the error and the log show no password."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(DatabaseError) as caught:
        Database.open(url)
    assert "s3cret" not in f"{caught.value}{caught.value.__cause__}{caplog.text}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_error_after_opening_is_a_database_error(database: Database, file: Path) -> None:
    """Later trouble is of the same kind as at the start, so that callers know one error."""
    write_by_hand(file, "DROP TABLE facts")
    with pytest.raises(DatabaseError, match="facts"):
        database.load_facts()
