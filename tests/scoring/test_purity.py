"""What is stored depends on the log alone: not on how records were batched, nor on crashes and redeliveries."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.scoring.decode import read
from shared.domain.columns.id_chunks import unpack
from shared.domain.contract.events import DAY, MINUTE, SECOND
from shared.domain.errors import Unavailable
from shared.domain.relationship.fence import position_of
from shared.storage.memory import MemoryStore
from shared.stream.topics import INTERACTIONS
from tests.examples import examples
from tests.scoring.stage import Stage

EXAMPLES = examples(20)

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking a story takes minutes: RAPPORT_SHRINK=1 asks for it
PEOPLE = ("ana", "bob")
RELATIONSHIPS = ("acct-1", "acct-2", "acct-3")

Saying = tuple[str, dict[str, Any]]


def sayings() -> st.SearchStrategy[Saying]:
    """One thing that happens, of every class, with a small world of ids so that they meet."""
    person = st.sampled_from(PEOPLE)
    ids = st.sampled_from([f"m{number}" for number in range(6)])
    return st.one_of(
        st.tuples(
            st.just("usage.feature_used"),
            st.fixed_dictionaries(
                {"feature": st.sampled_from(("export", "import")), "person": person, "quantity": st.integers(1, 9)}
            ),
        ),
        st.tuples(
            st.just("usage.daily_total"),
            st.fixed_dictionaries(
                {"feature": st.just("export"), "day": st.just("2026-05-30"), "quantity": st.integers(0, 9)}
            ),
        ),
        st.tuples(st.just("message.received"), st.fixed_dictionaries({"person": person, "id": ids})),
        st.tuples(st.just("meeting.held"), st.fixed_dictionaries({"person": person, "id": ids})),
        st.tuples(
            st.just("survey.answered"),
            st.fixed_dictionaries(
                {"instrument": st.just("nps"), "score": st.integers(0, 10), "person": person, "id": ids}
            ),
        ),
        st.tuples(
            st.just("promise.made"),
            st.fixed_dictionaries({"promise": st.sampled_from("pq"), "due": st.just("2026-06-02T10:00:00Z")}),
        ),
        st.tuples(st.just("promise.kept"), st.fixed_dictionaries({"promise": st.sampled_from("pq")})),
        st.tuples(st.just("event.retracted"), st.fixed_dictionaries({"about": ids})),
        st.tuples(st.just("event.corrected"), st.fixed_dictionaries({"about": ids})),
        st.tuples(
            st.just("relationship.updated"),
            st.fixed_dictionaries({"kind": st.sampled_from(("customer", "partner")), "seats": st.integers(1, 9)}),
        ),
        st.tuples(st.just("clock"), st.just({})),
    )


Story = list[tuple[str, int, bool, Saying]]
stories = st.lists(
    st.tuples(st.sampled_from(RELATIONSHIPS), st.integers(0, 20 * 60), st.booleans(), sayings()), max_size=25
)


def hurried(story: Story) -> Story:
    """The same in no time, but for what comes after a while: so that several things are said at one moment."""
    return [(who, minutes if minutes > 600 else 0, late, said) for who, minutes, late, said in story]


async def tell(stage: Stage, story: Story) -> None:
    """Append the story to the log: relationship, minutes passed since the last, whether late, what happened."""
    for relationship, minutes, late, (type, said) in story:
        stage.now += minutes * MINUTE
        data = dict(said)
        if type == "clock":
            await stage.tick()
            continue
        if type == "event.corrected":
            data["replacement"] = {"type": "message.sent", "data": {"person": "eve"}}
        ago = 5 * SECOND if late else 0  # it came over another process of ingest, which is slower
        await stage.say(type, relationship, at=stage.now - (3 * DAY if late else 0), received=stage.now - ago, **data)
    await stage.written()


def stored(store: MemoryStore) -> dict[str, Any]:
    """All documents that scoring writes, without who wrote them and how often, and in how many parts."""
    return {
        f"{collection}/{id}": {name: value for name, value in document.items() if name not in ("rev", "writer")}
        | ({"parts": ids_in(document)} if collection == "dedup" else {})
        for collection in ("relationships", "months", "timeline", "dedup", "partitions")
        for id, document in store._docs[collection].items()
    }


def ids_in(chunk: dict[str, Any]) -> list[tuple[int, int]]:
    """The hashes and positions in a chunk of event ids, whatever parts it was written in."""
    parts = [unpack(part, packed) for part, packed in chunk["parts"].items()]
    return [pair for hashes, positions in parts for pair in zip(hashes.tolist(), positions.tolist(), strict=True)]


def silent() -> int:
    """A clock by which nothing is ever due: the story holds all the clock records there are."""
    return 0


async def no_pause(seconds: float) -> None:
    """Do not wait."""


async def undisturbed(story: Story, limit: int = 1, together: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    stage = Stage(batch_limit=limit, together=together)
    await tell(stage, story)
    worker = await stage.worker(clock=silent)
    while limit > 1 and await worker.step():  # else all of it is folded at once
        await worker.flush()
    await worker.drain()
    return stored(stage.store), stage.published_of_each()


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories, st.integers(2, 30))
def test_batch_boundaries_do_not_matter(story: Story, limit: int) -> None:
    one, told_one = asyncio.run(undisturbed(story))
    many, told_many = asyncio.run(undisturbed(story, limit))
    assert one == many
    assert told_one == told_many


def numbered(value: Any, positions: dict[int, int]) -> Any:
    """Positions as the numbers of what lies there, in whatever frames."""
    if isinstance(value, dict):
        return {name: _number(name, one, positions) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [numbered(one, positions) for one in value]
    if isinstance(value, msgspec.Struct):
        return numbered(msgspec.structs.asdict(value), positions)
    return value


def _number(name: str, value: Any, positions: dict[int, int]) -> Any:
    if name == "parts":
        return [(hash, positions[at]) for hash, at in value]
    return positions.get(value, value) if name in ("position", "event_position") else numbered(value, positions)


async def framed(story: Story, together: int) -> tuple[Any, Any]:
    """What is stored and told of a story that is written so many events a record, at most."""
    stage = Stage(together=together)
    await tell(stage, story)
    positions = [
        position_of(record.offset, place)
        for record in stage.log.records(INTERACTIONS)
        for place in range(len(read(record)))
    ]
    worker = await stage.worker(clock=silent)
    await worker.drain()
    numbers = {position: number for number, position in enumerate(positions)}
    return numbered(stored(stage.store), numbers), numbered(stage.published_of_each(), numbers)


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories.map(hurried), st.integers(2, 9))
def test_framing_does_not_matter(story: Story, together: int) -> None:
    assert asyncio.run(framed(story, together)) == asyncio.run(framed(story, 1))


class Failing:
    """A store or publisher whose n-th call ends the worker, before or after it has taken effect."""

    def __init__(self, real: Any, fuse: list[int], after: bool) -> None:
        self._real, self._fuse, self._after = real, fuse, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse[0] -= 1
            if self._fuse[0] == 0 and not self._after:
                raise Crash
            answer = await method(*args, **kwargs)
            if self._fuse[0] == 0:
                raise Crash
            return answer

        return call


class Crash(BaseException):
    """Stands for kill -9."""


async def crashing(
    story: Story, limit: int, fuse: int, after: bool, together: int = 1
) -> tuple[dict[str, Any], dict[str, Any]]:
    stage = Stage(batch_limit=limit, together=together)
    await tell(stage, story)
    countdown = [fuse]
    worker = await stage.worker(
        "w1",
        clock=silent,
        store=Failing(stage.store, countdown, after),
        publisher=Failing(stage.log.publisher(), countdown, after),
    )
    try:
        while await worker.step():
            await worker.flush()
    except Crash:
        await worker.kill()
        worker = await stage.worker("w2", clock=silent, batch_limit=limit + 1)
    await worker.drain()
    return stored(stage.store), stage.published_of_each()


async def forgetful(story: Story, limit: int, run: int, together: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read by a worker that lets go of every relationship as soon as it may, and brings in one at a time."""
    stage = Stage(batch_limit=limit, together=together)
    await tell(stage, story)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.scoring.decode.RUN_EVENTS", run)
        patch.setattr("services.scoring.processor.NEW_AT_LEAST", 1)
        await (await stage.worker(clock=silent, memory=1_000)).drain()
    return stored(stage.store), stage.published_of_each()


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories, st.integers(1, 30), st.integers(1, 7), st.integers(1, 6))
def test_what_is_in_memory_makes_no_difference(story: Story, limit: int, run: int, together: int) -> None:
    told = hurried(story) if together > 1 else story
    assert asyncio.run(forgetful(told, limit, run, together)) == asyncio.run(undisturbed(told, together=together))


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories, st.integers(1, 30), st.integers(1, 60), st.booleans(), st.integers(1, 6))
def test_a_crash_at_any_call_leaves_the_state_of_an_undisturbed_run(
    story: Story, limit: int, fuse: int, after: bool, together: int
) -> None:
    told = hurried(story) if together > 1 else story
    quiet, told_quiet = asyncio.run(undisturbed(told, together=together))
    crashed, published = asyncio.run(crashing(told, limit, fuse, after, together))
    assert crashed == quiet
    assert published == told_quiet


class Flaky:
    """A store that does not answer now and then, after having done what was asked."""

    def __init__(self, real: Any) -> None:
        self._real, self._random = real, Random(7)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = await method(*args, **kwargs)
            if self._random.random() < 0.2:
                raise Unavailable("no answer")
            return answer

        return call


@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(stories)
def test_a_store_that_comes_and_goes_changes_nothing(story: Story) -> None:
    async def run() -> dict[str, Any]:
        stage = Stage(batch_limit=4)
        await tell(stage, story)
        worker = await stage.worker(clock=silent, store=Flaky(stage.store), pause=no_pause)
        await worker.drain()
        return stored(stage.store)

    assert asyncio.run(run()) == asyncio.run(undisturbed(story))[0]


async def test_a_worker_that_lost_its_partition_cannot_write() -> None:
    stage = Stage()
    zombie = await stage.worker("zombie")
    await stage.say("usage.login")
    await zombie.step()
    await zombie.freeze()
    owner = await stage.worker("owner")
    await owner.drain()
    await stage.say("usage.login")
    await owner.drain()
    before = stored(stage.store)
    with pytest.raises(Exception, match="changed by another worker"):
        await zombie._processor.flush()
    assert stored(stage.store) == before
