"""A policy that is swapped under load, by hand and by a file: no call fails; what did not change keeps its state."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import spanwire
from spanwire import CircuitBreaker, Fixed, Policy, Retry, Timeout
from spanwire.testing import Answer, FakeClock, FaultyOrigin, Recorder, SpanwireTelemetry
from tests.integration.counting import Tally
from tests.integration.test_fork import forked
from tests.testing.colours import Colour

URL = "http://origin.test"
INTERVAL = 5.0


def policy(attempts: int = 3, **parts: Any) -> Policy:
    return Policy(**{"retry": Retry(max_attempts=attempts, backoff=Fixed(seconds=0), budget=None), **parts})


def hashes(telemetry: SpanwireTelemetry) -> list[Any]:
    return [span.attributes["spanwire.policy.hash"] for span in telemetry.call_spans]


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_the_hash_on_the_spans_changes_with_the_policy(colour: Colour, telemetry: SpanwireTelemetry) -> None:
    client = colour.client(policy=policy(2), transport=Tally().transport, **telemetry.providers)
    for attempts in (2, 3, 2):
        client.reload(policy(attempts))
        colour.get(client, URL)
    assert hashes(telemetry) == [policy(2).hash, policy(3).hash, policy(2).hash]
    assert [event["spanwire.policy.hash"] for event in telemetry.events("config.loaded")] == hashes(telemetry)
    assert client.policy.hash == policy(2).hash


def test_eight_threads_notice_nothing_of_a_reload_but_the_other_policy(telemetry: SpanwireTelemetry) -> None:
    start, over, failures, tally = threading.Barrier(9), threading.Event(), [], Tally()

    def hammer() -> None:
        start.wait()
        while not over.is_set():
            try:
                assert client.get(URL + "/503/200").status_code == 200
            except Exception as error:
                failures.append(error)

    with spanwire.Client(
        policy=policy(2, circuit_breaker=None), transport=tally.transport, **telemetry.providers
    ) as client:
        threads = [threading.Thread(target=hammer) for _ in range(8)]
        for thread in threads:
            thread.start()
        start.wait()
        for number in range(60):
            client.reload(policy(2 + number % 3, circuit_breaker=None))
            seen = tally.requests
            while tally.requests < seen + 8:
                over.wait(0.0005)
        over.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert set(hashes(telemetry)) == {policy(attempts, circuit_breaker=None).hash for attempts in (2, 3, 4)}
    assert telemetry.metric("spanwire.attempts") == tally.requests


def test_tasks_notice_nothing_of_a_reload_but_the_other_policy(telemetry: SpanwireTelemetry) -> None:
    tally, failures, over = Tally(), [], asyncio.Event()

    async def hammer(client: spanwire.AsyncClient) -> None:
        while not over.is_set():
            try:
                assert (await client.get(URL + "/503/200")).status_code == 200
                await asyncio.sleep(0)
            except Exception as error:
                failures.append(error)

    async def main() -> None:
        arguments = {"policy": policy(2, circuit_breaker=None), "transport": tally.transport, **telemetry.providers}
        async with spanwire.AsyncClient(**arguments) as client, asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(hammer(client))
            for number in range(60):
                client.reload(policy(2 + number % 3, circuit_breaker=None))
                seen = tally.requests
                while tally.requests < seen + 40:
                    await asyncio.sleep(0)
            over.set()

    asyncio.run(main())
    assert not failures
    assert set(hashes(telemetry)) == {policy(attempts, circuit_breaker=None).hash for attempts in (2, 3, 4)}
    assert telemetry.metric("spanwire.attempts") == tally.requests


def test_a_call_under_way_ends_under_the_policy_that_it_began_with(colour: Colour, clock: FakeClock) -> None:
    tally = Tally()
    reloads = type("Reloads", (), {"on_request": lambda self, request, context: client.reload(policy(1))})()
    client = colour.client(policy=policy(3), transport=tally.transport, interceptors=[reloads], clock=clock)
    assert colour.get(client, URL + "/503/503/200").status_code == 200
    assert colour.get(client, URL + "/503/503/200").status_code == 503


def test_breakers_and_budgets_that_did_not_change_keep_their_state(
    colour: Colour, telemetry: SpanwireTelemetry
) -> None:
    breaker = CircuitBreaker(consecutive_failures=2)
    first = Policy(retry=Retry(max_attempts=2, backoff=Fixed(seconds=0)), circuit_breaker=breaker)
    client = colour.client(policy=first, transport=Tally().transport, **telemetry.providers)
    colour.get(client, URL + "/503")
    left = telemetry.metric("spanwire.retry_budget.available")
    assert client.circuit_breakers[URL].state == "open"
    assert left < 500

    client.reload(first.model_copy(update={"timeout": Timeout(total=3)}))
    assert client.circuit_breakers[URL].state == "open"
    client.reload(first.model_copy(update={"retry": Retry(max_attempts=9, backoff=Fixed(seconds=1))}))
    assert telemetry.metric("spanwire.retry_budget.available") == left, "the budget's own settings are the same"
    with pytest.raises(spanwire.CircuitOpen):
        colour.get(client, URL)

    client.reload(first.model_copy(update={"circuit_breaker": CircuitBreaker(consecutive_failures=3)}))
    assert client.circuit_breakers[URL].state == "closed", "other rules, another breaker"
    assert colour.get(client, URL).status_code == 200


def test_a_policy_whose_connection_differs_is_refused_and_the_old_one_stays(colour: Colour) -> None:
    client = colour.client(policy=policy(2), transport=Tally().transport)
    with pytest.raises(spanwire.ConfigurationError, match="`connection` cannot be reloaded"):
        client.reload(policy(3, connection=spanwire.Connection(max_connections=1)))
    assert client.policy.hash == policy(2).hash


def test_what_is_no_policy_is_refused(colour: Colour) -> None:
    client = colour.client(transport=Tally().transport)
    with pytest.raises(spanwire.ConfigurationError, match=r"give a spanwire\.Policy"):
        client.reload({"retry": None})


def test_reloads_in_eight_threads_at_once_end_with_one_of_the_policies_in_force() -> None:
    start, policies = threading.Barrier(8), [policy(number) for number in range(1, 9)]

    def reload(number: int) -> None:
        start.wait()
        for _ in range(50):
            client.reload(policies[number])

    with spanwire.Client(transport=Tally().transport) as client:
        threads = [threading.Thread(target=reload, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.policy in policies
        assert client._engine.hash == client.policy.hash
        (retrying,) = [layer for layer in client._pipeline_layers().values() if hasattr(layer, "budget")]
        assert retrying.config == client.policy.retry


def test_phase_timeouts_follow_the_policy_unless_the_caller_gave_others(colour: Colour) -> None:
    def asked(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"]["read"])
        return httpx.Response(200)

    seen: list[float] = []
    ours = colour.client(policy=Policy(timeout=Timeout(read=7)), transport=httpx.MockTransport(asked))
    theirs = colour.client(policy=Policy(timeout=Timeout(read=7)), timeout=4, transport=httpx.MockTransport(asked))
    for client in (ours, theirs):
        colour.get(client, URL)
        client.reload(Policy(timeout=Timeout(read=3)))
        colour.get(client, URL)
    assert seen == [7, 3, 4, 4]


# -- by a file ---------------------------------------------------------------------------------------------------------


class File:
    """A policy file that is replaced as careful programs do, or otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replace(2)

    def replace(self, attempts: object, more: str = "") -> str:
        """Replace it at once, and give the hash of the policy that it holds."""
        text = f"retry:\n  max_attempts: {attempts}\n  backoff: {{kind: fixed, seconds: 0}}\n{more}"
        self.hold(text)
        try:
            return Policy.from_file(self.path).hash
        except spanwire.ConfigurationError:
            return ""

    def hold(self, content: str | bytes) -> None:
        """Have it hold this from one moment to the next: the watching sees nothing in between."""
        aside = self.path.with_suffix(".new")
        aside.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(aside, self.path)


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "policy.yaml")


class Following:
    """A client that follows a file, on a clock that a test moves: `look` has it look at the file at least once."""

    def __init__(self, colour: Colour, file: File, clock: FakeClock, telemetry: SpanwireTelemetry, **more: Any) -> None:
        self.colour, self.clock = colour, clock
        self.watch = Policy.watch(file.path, interval=INTERVAL)
        arguments = {"transport": Tally().transport, **more, **telemetry.providers}
        self.client = colour.client(policy=self.watch, clock=clock, **arguments)
        self.looks = 0
        engine = weakref.proxy(self.client._engine)
        look = type(self.client._engine).look

        def counted(watch: Any) -> None:
            look(engine, watch)
            self.looks += 1

        self.client._engine.look = counted

    def get(self, path: str = "") -> int:
        return self.colour.get(self.client, URL + path).status_code

    def look(self) -> None:
        """Let intervals pass, until a look at the file that began after now is over."""
        wanted = self.looks + 2

        def looked() -> bool:
            self.clock.advance(INTERVAL)
            return self.looks >= wanted

        self.colour.until(looked)


@pytest.fixture
def following(colour: Colour, file: File, clock: FakeClock, telemetry: SpanwireTelemetry) -> Following:
    return Following(colour, file, clock, telemetry)


def test_a_file_that_changes_changes_the_policy_of_a_client_that_was_never_entered(
    following: Following, file: File, telemetry: SpanwireTelemetry
) -> None:
    assert following.get("/503/503/200") == 503
    loaded = file.replace(3)
    following.look()
    assert following.get("/503/503/200") == 200
    assert hashes(telemetry)[-1] == loaded == following.client.policy.hash
    assert [event["spanwire.policy.hash"] for event in telemetry.events("config.loaded")] == [loaded]
    following.look()
    assert len(telemetry.events("config.loaded")) == 1, "what has not changed is not told"


def test_phase_timeouts_follow_the_file(following: Following, file: File) -> None:
    following.get()
    file.replace(3, "timeout: {read: 3}\n")
    following.look()
    assert following.client.timeout.read == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.hold("retry:\n  max_attempts: 0\n"),
        lambda file: file.hold("retry:\n  max_attem"),
        lambda file: file.hold("retry: [1, "),
        lambda file: file.hold(""),
        lambda file: file.hold(b"\xff\xfe\x00"),
        lambda file: file.path.unlink(),
        lambda file: file.path.rename(file.path.with_suffix(".aside")),
        lambda file: file.hold("connection: {max_connections: 1}\n"),
    ],
    ids=[
        "impossible",
        "cut short",
        "no YAML",
        "truncated to nothing",
        "no text",
        "deleted",
        "moved away",
        "another pool",
    ],
)
def test_an_impossible_file_keeps_the_policy_and_says_why_and_a_later_one_is_taken(
    following: Following, file: File, telemetry: SpanwireTelemetry, spoil: Callable[[File], object]
) -> None:
    following.get()
    in_force = following.client.policy
    spoil(file)
    following.look()
    assert following.client.policy is in_force
    assert following.get("/503/200") == 200
    (rejected,) = telemetry.events("config.rejected")
    assert rejected["spanwire.policy.hash"] == in_force.hash
    assert "policy.yaml" in rejected["spanwire.config.problem"] or "connection" in rejected["spanwire.config.problem"]
    following.look()
    assert len(telemetry.events("config.rejected")) == 1, "told once"

    loaded = file.replace(4)
    following.look()
    assert following.client.policy.hash == loaded
    assert [event["spanwire.policy.hash"] for event in telemetry.events("config.loaded")] == [loaded]


def test_a_file_that_comes_back_as_it_was_is_told_as_loaded(
    following: Following, file: File, telemetry: SpanwireTelemetry
) -> None:
    following.get()
    before = following.client.policy.hash
    text = file.path.read_text()
    file.hold("")
    following.look()
    file.hold(text)
    following.look()
    assert [event["spanwire.policy.hash"] for event in telemetry.events("config.loaded")] == [before]


CANARY = "CANARY5f3a"


@pytest.mark.parametrize(
    "text",
    [
        f"connection: {{proxy: 'ftp://user:{CANARY}@proxy'}}",
        f"connection: {{proxy: ['http://user:{CANARY}@proxy']}}",
        f"connection: 'http://user:{CANARY}@proxy'",
        f"fallback: {{response: {{headers: {{Authorization: ['Bearer {CANARY}']}}}}}}",
        f"fallback: {{response: {{content: ['{CANARY}']}}}}",
        f"fallback: {{response: {{content: x, json: {{token: {CANARY}}}}}}}",
        f"fallback: {{response: {{headers: {{A: {CANARY}}}, status: 9}}}}",
        f"connection: {{proxy: 'http://user:{CANARY}@proxy'}}\nretry: {{max_attempts: 0}}",
        f"connection: {{proxy: 'http://user:{CANARY}@proxy'}}\nretry: [",
        f"token: {CANARY}",
        f"retry: {{token: {CANARY}}}",
        f"{CANARY}",
    ],
)
def test_the_reason_shows_nothing_secret_of_the_file(
    following: Following, file: File, telemetry: SpanwireTelemetry, text: str
) -> None:
    following.get()
    file.hold(text)
    following.look()
    assert len(telemetry.events("config.rejected")) == 1
    assert CANARY not in telemetry.everything()


def test_clients_that_share_a_watch_all_follow_it_and_all_tell(
    colour: Colour, file: File, clock: FakeClock, telemetry: SpanwireTelemetry
) -> None:
    first = Following(colour, file, clock, telemetry, name="first")
    second = colour.client(
        name="second", policy=first.watch, clock=clock, transport=Tally().transport, **telemetry.providers
    )
    first.get()
    colour.get(second, URL)
    loaded = file.replace(5)
    first.look()
    first.look()
    colour.until(lambda: (first.client.policy.hash, second.policy.hash) == (loaded, loaded))
    file.replace(0)
    first.look()
    colour.until(lambda: len(telemetry.events("config.rejected")) == 2)
    assert {event["spanwire.client.name"] for event in telemetry.events("config.rejected")} == {"first", "second"}


def test_a_policy_that_was_given_by_hand_holds_until_the_file_changes(following: Following, file: File) -> None:
    following.get()
    following.client.reload(policy(7))
    following.look()
    assert following.client.policy.hash == policy(7).hash
    loaded = file.replace(3)
    following.look()
    assert following.client.policy.hash == loaded


def test_watching_ends_with_the_client(following: Following, colour: Colour) -> None:
    following.get()
    watching = following.client._engine._watching
    assert watching.running
    colour.close(following.client)
    colour.until(lambda: not watching.running)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_watching_ends_with_a_client_that_is_dropped(following: Following, colour: Colour) -> None:
    following.get()
    watching = following.client._engine._watching
    colour._clients.clear()
    del following.client
    colour.until(lambda: not watching.running)


def test_a_folder_that_is_swapped_behind_a_link_is_noticed(
    colour: Colour, tmp_path: Path, clock: FakeClock, telemetry: SpanwireTelemetry
) -> None:
    """As Kubernetes mounts a ConfigMap: the file is a link into a folder that is replaced as a whole."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
    (tmp_path / "now").symlink_to(tmp_path / "one")
    file = File(tmp_path / "one" / "policy.yaml")
    (tmp_path / "policy.yaml").symlink_to(tmp_path / "now" / "policy.yaml")
    file.path = tmp_path / "policy.yaml"
    following = Following(colour, file, clock, telemetry)
    following.get()
    loaded = File(tmp_path / "two" / "policy.yaml").replace(5)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(tmp_path / "now")
    following.look()
    assert following.client.policy.hash == loaded


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("ending", ["closed", "dropped"])
def test_a_bare_transport_watches_as_well_until_its_end(file: File, ending: str) -> None:
    bare = spanwire.Transport(Policy.watch(file.path, interval=0.001), Tally().transport)
    client = httpx.Client(transport=bare)
    client.get(URL)
    watching, loaded = bare._line.engine._watching, file.replace(5)
    Colour().until(lambda: bare._line.engine.policy.hash == loaded)
    if ending == "closed":
        client.close()
    else:
        del client, bare
    Colour().until(lambda: not watching.running)


def test_a_client_that_sends_nothing_watches_nothing(following: Following) -> None:
    assert following.client._engine._watching is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_watching_starts_again_in_a_forked_worker(file: File) -> None:
    with spanwire.Client(policy=Policy.watch(file.path, interval=0.001), transport=Tally().transport) as client:
        client.get(URL)
        watching = client._engine._watching
        assert watching.running

        def work() -> list[Any]:
            assert not watching.running, "the parent's thread is not here"
            client.get(URL)
            loaded = file.replace(6)
            Colour().until(lambda: client.policy.hash == loaded)
            return [client._engine._watching.running, client._engine._watching is watching]

        assert forked(work) == [True, False]
        Colour().until(lambda: client.policy.hash == Policy.from_file(file.path).hash)


def test_an_async_client_watches_on_each_loop_that_it_is_used_on(file: File) -> None:
    client = spanwire.AsyncClient(policy=Policy.watch(file.path, interval=0.001), transport=Tally().transport)

    async def main(attempts: int) -> bool:
        await client.get(URL)
        loaded = file.replace(attempts)
        while client.policy.hash != loaded:
            await asyncio.sleep(0.001)
        return True

    async def last() -> bool:
        found = await main(7)
        await client.aclose()
        return found

    assert [asyncio.run(main(5)), asyncio.run(main(6)), asyncio.run(last())] == [True] * 3


# -- by a file, under load ---------------------------------------------------------------------------------------------


def texts() -> Iterator[tuple[int, str]]:
    """What the file holds in turn: possible policies, and between them an impossible one, half of one, and nothing."""
    for number in range(12):
        yield 2 + number, "possible"
        yield 0, ("impossible", "half", "nothing")[number % 3]


def spoiled(file: File, attempts: int, kind: str) -> str:
    if kind == "half":
        file.hold("retry:\n  max_att")
        return ""
    if kind == "nothing":
        file.path.unlink(missing_ok=True)
        return ""
    return file.replace(attempts, "circuit_breaker: off\n")


def test_a_file_that_changes_under_load_fails_no_call_on_any_loop(
    colour: Colour, file: File, telemetry: SpanwireTelemetry, recorder: Recorder
) -> None:
    tally, failures, loaded = Tally(), [], [spoiled(file, 3, "possible")]
    watch = Policy.watch(file.path, interval=0.001)
    client = colour.client(policy=watch, transport=tally.transport, listeners=[recorder], **telemetry.providers)

    def load() -> None:
        responses = colour.many(client, URL + "/503/200", 8)
        failures.extend(found for found in responses if getattr(found, "status_code", found) != 200)

    load()
    for attempts, kind in texts():
        rejected = len(recorder.decisions("config.rejected"))
        told = spoiled(file, attempts, kind)
        if told:
            loaded.append(told)
            while client.policy.hash != told:
                load()
        else:
            while len(recorder.decisions("config.rejected")) == rejected:
                load()
            assert client.policy.hash == loaded[-1]
    load()
    assert not failures
    assert [event["spanwire.policy.hash"] for event in telemetry.events("config.loaded")] == loaded[1:]
    assert set(hashes(telemetry)) <= set(loaded)
    assert telemetry.metric("spanwire.attempts") == tally.requests


def test_a_real_origin_under_load_sees_no_connection_lost_to_reloads(
    colour: Colour, file: File, origin: FaultyOrigin
) -> None:
    origin.script(Answer(body=b"x" * 100))
    client = colour.client(policy=Policy.watch(file.path, interval=0.001), limits=httpx.Limits(max_connections=4))
    for attempts in range(2, 12):
        loaded = file.replace(attempts)
        while client.policy.hash != loaded:
            assert [response.status_code for response in colour.many(client, origin.url, 8)] == [200] * 8
    assert origin.connections <= 4
