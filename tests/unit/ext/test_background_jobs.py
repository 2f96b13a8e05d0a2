"""Laws of jobs in the background: since when they go on, when they ended, and how much is told of them."""

from __future__ import annotations

from hubcull_server_ext import wire
from hubcull_server_ext.signals.background_jobs import Active, BackgroundJobs, Key

KEY, OTHER = Key("kernel:12345678", 10), Key("detached", 20)


def on(key: Key = KEY, since: float = 0.0, label: str = "python", share: float = 1.0) -> Active:
    """Return an active process."""
    return Active(key, label, share, since)


def told(jobs: BackgroundJobs, now: float) -> list[tuple[str, float | None, float | None, float | None]]:
    """Return source and times of what is told."""
    found = jobs.signals(now)
    assert {(s.kind, s.clock, s.strength) for s in found} <= {
        (wire.Kind.BACKGROUND_JOB, wire.Clock.WORK, wire.Strength.WEAK)
    }
    return [(s.source, s.going_on_for, s.ended_ago, s.lasted) for s in found]


def test_a_job_goes_on_since_it_was_seen_to_begin() -> None:
    """And has ended at the first look that does not find it active any more."""
    jobs = BackgroundJobs()
    assert told(jobs, 5.0) == []
    assert jobs.take([on(since=10.0)], 40.0)
    assert told(jobs, 50.0) == [("kernel:12345678", 40.0, None, None)]
    assert not jobs.take([on(since=45.0)], 70.0)
    assert jobs.take([], 75.0)
    assert told(jobs, 80.0) == [("kernel:12345678", None, 5.0, 65.0)]
    assert not jobs.any_going_on


def test_work_in_bursts_is_one_job_so_that_its_cap_is_real() -> None:
    """What resumes within a minute goes on as before; later it is another."""
    jobs = BackgroundJobs()
    jobs.take([on(since=0.0)], 30.0)
    jobs.take([], 60.0)
    jobs.take([on(since=100.0)], 110.0)
    assert told(jobs, 120.0) == [("kernel:12345678", 120.0, None, None)]
    jobs.take([], 130.0)
    jobs.take([on(since=200.0)], 230.0)
    assert told(jobs, 230.0) == [("kernel:12345678", 30.0, None, None)]


def test_processes_of_a_group_are_one_job_named_after_the_busiest() -> None:
    """A pool's workers come and go without making it younger."""
    jobs = BackgroundJobs()
    jobs.take([on(label="bash", share=1.0), on(label="R", share=9.0), on(OTHER)], 30.0)
    found = {s.source: s.label for s in jobs.signals(30.0)}
    assert found == {"kernel:12345678": "R", "detached": "python"}


def test_a_kernels_own_process_is_apart_from_its_children() -> None:
    """A cell ends what the one does, not what the others do."""
    jobs = BackgroundJobs()
    itself = KEY._replace(itself=True)
    jobs.take([on(), on(itself)], 30.0)
    jobs.take([on()], 60.0)
    assert (jobs.going_on(KEY), jobs.going_on(itself)) == (True, False)
    assert len(told(jobs, 60.0)) == 2


def test_a_report_tells_the_youngest_jobs_and_the_newest_end() -> None:
    """They protect longest; more would only make it long."""
    jobs = BackgroundJobs()
    everyone = [on(Key("server", group), since=float(group)) for group in range(50)]
    jobs.take(everyone, 50.0)
    jobs.take(everyone[10:], 60.0)
    jobs.take(everyone[11:], 70.0)
    found = told(jobs, 100.0)
    assert [going for _, going, _, _ in found[:-1]] == [100.0 - group for group in range(30, 50)]
    assert found[-1] == ("server", None, 30.0, 60.0)


def test_what_ended_long_ago_is_forgotten_but_for_the_newest() -> None:
    """A server that starts a job a minute for months must not grow."""
    jobs = BackgroundJobs()
    for minute in range(1000):
        jobs.take([on(Key("server", minute), since=60.0 * minute)], 60.0 * minute)
    assert len(jobs._jobs) < 5
