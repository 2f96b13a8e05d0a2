"""Who reports: what a token proves, and what is remembered of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubcull_hub.hub_answers import HubTimeoutError, TokenOwner
from hubcull_hub.identity import Entry, Proof, Rejection, RejectionCode, TokenBook, prove
from hubcull_hub.model import ServerKey

STARTED = datetime(2026, 3, 1, tzinfo=timezone.utc)


def owner(
    name: str = "alice",
    scopes: Iterable[str] | None = None,
    *,
    server: str = "",
    kind: str = "user",
    session_id: str | None = None,
) -> TokenOwner:
    """Return the owner of a server's token, or of something like it."""
    if scopes is None:
        scopes = (f"access:servers!server={name}/{server}", f"users:activity!user={name}")
    return TokenOwner(kind, name, frozenset(scopes), session_id, frozenset({"g"}), admin=True)


def rejected(who: TokenOwner | None) -> Rejection:
    """Return why the owner proves no server; fails where one is proven."""
    verdict = prove(who)
    assert isinstance(verdict, Rejection)
    return verdict


# -- prove -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["", "gpu", "a=b!c"])
@pytest.mark.parametrize("name", ["alice", "zoë smith@x!y=z", "a!server=b"])
def test_a_servers_own_token_proves_the_server(name: str, server: str) -> None:
    """Exactly the server that the scope names is proven, whatever characters the names hold."""
    assert prove(owner(name, server=server)) == Proof(ServerKey(name, server), frozenset({"g"}), admin=True)


@given(st.text().filter(lambda name: "/" not in name), st.text())
def test_no_name_can_be_taken_for_another(name: str, server: str) -> None:
    """For every user name without a slash, what was put into the scope comes out again."""
    proof = prove(owner(name, server=server))
    assert isinstance(proof, Proof)
    assert proof.key == ServerKey(name, server)


def test_unfiltered_activity_scope_will_do() -> None:
    """An extra_user_scopes configuration leaves ``users:activity`` unfiltered; the server is proven still."""
    assert isinstance(prove(owner(scopes=["access:servers!server=alice/", "users:activity"])), Proof)


def test_unknown_token_is_invalid() -> None:
    """What the Hub does not know proves nobody."""
    assert rejected(None).code is RejectionCode.INVALID_TOKEN
    assert rejected(None).user is None


@pytest.mark.parametrize(
    "who",
    [
        owner(kind="service"),
        owner(session_id="a browser's"),
        owner(scopes=["access:servers!server=alice/"]),
        owner(scopes=["access:servers!server=alice/", "users:activity!user=alic"]),
        owner(scopes=["access:servers!server=alice/", "users:activity!user=bob"]),
        owner(scopes=["access:servers!server=alice/", "read:users:activity!user=alice"]),
    ],
)
def test_tokens_of_browsers_and_services_are_no_servers(who: TokenOwner) -> None:
    """Without all three marks of a server's token nothing is proven, the user included."""
    verdict = rejected(who)
    assert (verdict.code, verdict.user) == (RejectionCode.NOT_A_SERVER, None)


@pytest.mark.parametrize(
    "access",
    [
        [],
        ["access:servers!user=alice"],
        ["access:servers"],
        ["access:servers!server=alice/", "access:servers!server=alice/gpu"],
        ["access:servers!server=bob/"],  # a guest of bob's server
        ["access:servers!server=alice"],
        ["access:servers!server=alicea/"],
    ],
)
def test_user_without_exactly_one_own_server_is_proven_alone(access: list[str]) -> None:
    """The user is proven and no server: the message names the remedy, in the configuration's words."""
    verdict = rejected(owner(scopes=[*access, "users:activity!user=alice"]))
    assert (verdict.code, verdict.user) == (RejectionCode.SERVER_NOT_PROVEN, "alice")
    assert "access:servers!server" in verdict.message
    assert "c.Spawner.server_token_scopes" in verdict.message


# -- TokenBook -------------------------------------------------------------------------------------


class Hub:
    """Says who owns a token, when it is let; ``most`` is how many asked at once."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.owners: dict[str, TokenOwner] = {}
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.most = self._now = 0
        if open_gate:
            self.gate.set()

    async def token_owner(self, token: str) -> TokenOwner | None:
        """Answer from ``owners``, or fail."""
        self.asked.append(token)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return self.owners.get(token)
        finally:
            self._now -= 1


def key_of(entry: Entry) -> ServerKey | None:
    """Return the proven server, None for a rejection."""
    return entry.proof_or_rejection.key if isinstance(entry.proof_or_rejection, Proof) else None


def test_proof_is_believed_for_its_lifetime() -> None:
    """The Hub is asked again at its end at the latest, and not in the first three quarters of it."""

    async def case() -> None:
        hub = Hub()
        hub.owners["t"] = owner()
        book = TokenBook(hub)
        first = await book.look("t", 100.0)
        assert (key_of(first), first.checked_at, first.started) == (ServerKey("alice", ""), 100.0, None)
        assert await book.look("t", 100.0 + 3 * 3600 - 1) == first
        assert len(hub.asked) == 1
        again = await book.look("t", 100.0 + 4 * 3600)
        assert again.checked_at == 100.0 + 4 * 3600
        assert len(hub.asked) == 2

    asyncio.run(case())


def test_proofs_made_together_do_not_come_due_together() -> None:
    """A Hub that was asked about all tokens at once is not asked about all of them four hours later."""

    async def case() -> None:
        hub = Hub()
        book = TokenBook(hub)
        for i in range(100):
            hub.owners[f"t{i}"] = owner()
            await book.look(f"t{i}", 0.0)
        asked = []
        for quarter in (3.25, 3.5, 3.75, 4.0):
            for i in range(100):
                await book.look(f"t{i}", quarter * 3600)
            asked.append(len(hub.asked) - 100)
        assert [10 < more - less < 40 for less, more in zip([0, *asked[:-1]], asked, strict=True)] == [
            True
        ] * 4

    asyncio.run(case())


def test_rejection_is_soon_looked_at_again() -> None:
    """A token that becomes good is taken within 20 s; one that went bad is found out by a fresh look."""

    async def case() -> None:
        hub = Hub()
        book = TokenBook(hub)
        assert key_of(await book.look("t", 0.0)) is None
        hub.owners["t"] = owner()
        assert key_of(await book.look("t", 19.9)) is None
        assert key_of(await book.look("t", 20.0)) == ServerKey("alice", "")
        del hub.owners["t"]
        assert key_of(await book.look("t", 21.0)) is not None
        assert key_of(await book.look("t", 21.0, fresh=True)) is None
        assert key_of(await book.look("t", 22.0)) is None
        assert len(hub.asked) == 3

    asyncio.run(case())


def test_one_question_per_token() -> None:
    """Looks at one token at the same time, fresh or not, share one call; other tokens do not wait for it."""

    async def case() -> None:
        hub = Hub(open_gate=False)
        hub.owners["t"] = owner()
        book = TokenBook(hub)
        looks = [asyncio.create_task(book.look("t", float(i), fresh=i % 2 == 0)) for i in range(6)]
        other = asyncio.create_task(book.look("u", 0.0))
        await asyncio.sleep(0)
        hub.gate.set()
        assert len({key_of(await look) for look in looks}) == 1
        await other
        assert sorted(hub.asked) == ["t", "u"]
        await book.look("t", 9.0, fresh=True)  # the earlier question is over: ask anew
        assert len(hub.asked) == 3

    asyncio.run(case())


def test_questions_are_bounded() -> None:
    """However many tokens come in, no more than the allowed number of calls are open at the Hub."""

    async def case() -> None:
        hub = Hub(open_gate=False)
        book = TokenBook(hub, concurrency=3)
        looks = [asyncio.create_task(book.look(f"t{i}", 0.0)) for i in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        hub.gate.set()
        await asyncio.gather(*looks)
        assert (hub.most, len(hub.asked)) == (3, 10)

    asyncio.run(case())


def test_one_waiter_leaving_leaves_the_answer_to_the_others() -> None:
    """A caller that is cancelled, the first one included, cancels nobody else's look."""

    async def case() -> None:
        hub = Hub(open_gate=False)
        hub.owners["t"] = owner()
        book = TokenBook(hub)
        first, second = (asyncio.create_task(book.look("t", 0.0)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        hub.gate.set()
        assert key_of(await second) == ServerKey("alice", "")
        assert len(hub.asked) == 1

    asyncio.run(case())


def test_errors_reach_every_waiter_and_are_not_kept() -> None:
    """A Hub that can not be asked says nothing about the token, which is looked up again next time."""

    async def case() -> None:
        hub = Hub(open_gate=False)
        hub.owners["t"] = owner()
        hub.error = HubTimeoutError("slow")
        book = TokenBook(hub)
        looks = [asyncio.create_task(book.look("t", 0.0)) for _ in range(3)]
        await asyncio.sleep(0)
        hub.gate.set()
        answers = await asyncio.gather(*looks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [HubTimeoutError] * 3
        assert len(book) == 0
        hub.error = None
        assert key_of(await book.look("t", 0.0)) == ServerKey("alice", "")

    asyncio.run(case())


def test_error_leaves_what_was_known() -> None:
    """A fresh look that fails takes nothing away from an ordinary one."""

    async def case() -> None:
        hub = Hub()
        hub.owners["t"] = owner()
        book = TokenBook(hub)
        known = await book.look("t", 0.0)
        hub.error = HubTimeoutError("slow")
        with pytest.raises(HubTimeoutError):
            await book.look("t", 1.0, fresh=True)
        assert await book.look("t", 2.0) == known

    asyncio.run(case())


def test_binding_outlives_new_validations() -> None:
    """The incarnation stays with the token through fresh looks and expiry, until the token is rejected."""

    async def case() -> None:
        hub = Hub()
        hub.owners["t"] = owner()
        book = TokenBook(hub, proof_lifetime=10.0)
        await book.look("t", 0.0)
        book.bind("t", STARTED)
        assert (await book.look("t", 1.0)).started == STARTED
        assert (await book.look("t", 2.0, fresh=True)).started == STARTED
        assert (await book.look("t", 50.0)).started == STARTED
        hub.owners["t"] = owner(server="gpu")
        assert (await book.look("t", 51.0, fresh=True)).started is None
        book.bind("t", STARTED)
        del hub.owners["t"]
        assert (await book.look("t", 52.0, fresh=True)).started is None
        book.bind("t", STARTED)  # a rejected token is not bound
        assert (await book.look("t", 53.0)).started is None
        book.bind("never seen", STARTED)

    asyncio.run(case())


def test_books_are_bounded_and_junk_pushes_no_server_out() -> None:
    """The least recently used go first, and rejections only make room among themselves."""

    async def case() -> None:
        hub = Hub()
        for name in ("a", "b", "c"):
            hub.owners[name] = owner(name)
        book = TokenBook(hub, capacity=2)
        for token in ("a", "b", "a", "c"):  # b is the one not used for longest
            await book.look(token, 0.0)
        for number in range(5):
            await book.look(f"junk{number}", 0.0)
        assert len(book) == 4
        hub.asked.clear()
        for token in ("a", "c", "junk4"):
            await book.look(token, 1.0)
        assert hub.asked == []
        await book.look("b", 1.0)
        assert hub.asked == ["b"]

    asyncio.run(case())


def test_no_token_is_kept() -> None:
    """Once the question is answered, nothing in the book holds the token's text."""

    async def case() -> None:
        hub = Hub()
        hub.owners["secret-token"] = owner()
        book = TokenBook(hub)
        await book.look("secret-token", 0.0)
        await book.look("\ud800", 0.0)  # even one that can not be encoded
        hub.asked.clear()
        await asyncio.sleep(0)
        kept = {name: value for name, value in vars(book).items() if name != "_hub"}
        assert "secret-token" not in repr(kept)

    asyncio.run(case())


def test_close_ends_open_questions() -> None:
    """At the end nobody is left waiting for the Hub."""

    async def case() -> None:
        hub = Hub(open_gate=False)
        book = TokenBook(hub)
        look = asyncio.create_task(book.look("t", 0.0))
        await asyncio.sleep(0)
        await book.close()
        with pytest.raises(asyncio.CancelledError):
            await look

    asyncio.run(case())
