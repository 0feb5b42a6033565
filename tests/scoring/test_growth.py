"""Growing the partition count: what is scored afterwards is what would have been scored without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.domain.contract.events import DAY, HOUR, MINUTE
from shared.domain.errors import Misconfigured
from shared.storage.memory import MemoryStore
from shared.storage.store import Incarnation, PartitionState, Write
from shared.stream.cluster import Position
from shared.stream.memory_cluster import MemoryCluster
from shared.stream.memory_group import MemoryMember
from shared.stream.topics import ALERTS_GROUP, INBOX, INTERACTIONS, SCORING_GROUP, UPDATES, partition_of
from shared.topology_growth import Grown, Growth, topology
from tests.scoring.stage import START, TENANT, Stage
from tests.scoring.test_purity import EXAMPLES, Story, no_pause, stories

BEFORE, AFTER = 4, 7
NEW = "later-incarnation"
MANY = [f"acct-{number}" for number in range(20)]  # of which growing gives about half to another partition
OF_THE_LOG = {"incarnation", "partition", "position", "rev", "writer", "event_position", "cause", "q"}


def quiet() -> Stage:
    """Four partitions, and no clock records but those of the test."""
    stage = Stage(partitions=BEFORE)
    stage.log.create(INBOX, BEFORE)
    return stage


async def worker(stage: Stage) -> MemoryMember:
    return await stage.worker(clock=lambda: 0, pause=no_pause)


async def scored(stage: Stage) -> None:
    """A worker reads everything there is and stops; alerts has read what it told."""
    member = await worker(stage)
    await member.drain()
    await member.kill()
    read_by_alerts(stage)


def read_by_alerts(stage: Stage) -> None:
    read = stage.log.group(ALERTS_GROUP, UPDATES).committed
    read.update({number: stage.log.end(UPDATES, number) for number in range(stage.log.partitions_of(UPDATES))})


def growth(stage: Stage, store: Any = None, cluster: Any = None, id: str = NEW) -> Growth:
    return Growth(cluster or MemoryCluster(stage.log), stage.log.reader(), store or stage.store, id, lambda line: None)


async def grown(stage: Stage, to: int = AFTER) -> Grown:
    done = await growth(stage).to(to)
    stage.partitions, stage.incarnation = to, done.incarnation
    return done


async def everybody_speaks(stage: Stage, prefix: str) -> None:
    """Uses, mails and answers of detractors; the same ids for the same prefix."""
    for id in MANY:
        await stage.say("usage.feature_used", id, id=f"{prefix}-use", feature="export", person="ana", quantity=2)
        await stage.say("message.received", id, id=f"{prefix}-mail", person="ana", channel="mail")
        await stage.say(
            "survey.answered", id, id=f"{prefix}-nps", instrument="nps", score=2, person=f"{prefix}@a.example"
        )


def compared(store: MemoryStore) -> dict[str, Any]:
    """What scoring has stored of relationships, without what says where in the log it came from."""
    return {
        f"{collection}/{id}": _without_log(document)
        for collection in ("relationships", "months", "timeline")
        for id, document in store._docs[collection].items()
    }


def _without_log(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_log(item) for name, item in value.items() if name not in OF_THE_LOG}
    return [_without_log(item) for item in value] if isinstance(value, list) else value


def published(stage: Stage) -> dict[str, list[Any]]:
    """The flag changes of each relationship in order, without their places in the log."""
    return {
        id: [
            (change.rule, change.subject, change.raised, change.moment, change.reason)
            for change in sorted(changes, key=lambda change: change.cause.incarnation == NEW)
        ]
        for id, changes in stage.published_of_each().items()
    }


async def test_duplicates_count_once_and_flags_stand_across_a_growth() -> None:
    never, once = quiet(), quiet()
    for stage in (never, once):
        await everybody_speaks(stage, "first")
        await scored(stage)
    before = compared(once.store)

    done = await grown(once)

    homes = {id: partition_of(f"{TENANT}/{id}".encode(), AFTER) for id in MANY}
    strangers = [id for id in MANY if homes[id] != partition_of(f"{TENANT}/{id}".encode(), BEFORE)]
    assert (done.before, done.after, done.moved) == (BEFORE, AFTER, len(strangers))
    assert strangers
    assert compared(once.store) == before
    for id in MANY:
        assert (await once.state(id)).partition == homes[id]

    for stage in (never, once):
        stage.now += HOUR
        await everybody_speaks(stage, "first")  # upstream sends all of it again
        await everybody_speaks(stage, "second")
        await scored(stage)
    assert compared(once.store) == compared(never.store)
    assert published(once) == published(never)
    assert len(published(once)["acct-0"]) == 2
    assert (await once.counts("acct-0"))["use:export", "ana", START // DAY] == 4.0


async def tell(stage: Stage, story: Story, prefix: str) -> None:
    """As of test_purity, with ids of their own; a clock record goes to every partition, as the owners' do."""
    for number, (relationship, minutes, late, (type, said)) in enumerate(story):
        stage.now += minutes * MINUTE
        data = dict(said)
        if type == "clock":
            for partition in range(stage.partitions):
                await stage.tick(partition)
            continue
        if type == "event.corrected":
            data["replacement"] = {"type": "message.sent", "data": {"person": "eve"}}
        id = data.pop("id", f"{prefix}-{number}")
        await stage.say(type, relationship, id=id, at=stage.now - (3 * DAY if late else 0), **data)


@settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(stories, stories, st.sampled_from((5, 7, 8)))
def test_a_story_with_a_growth_in_it_ends_as_one_without(before: Story, after: Story, to: int) -> None:
    async def played(grow: bool) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        stage = quiet()
        await tell(stage, before, "before")
        await scored(stage)
        if grow:
            await grown(stage, to)
        again = stage.now
        await tell(stage, before[::2], "again")
        stage.now = max(stage.now, again)
        await tell(stage, after, "after")
        await scored(stage)
        return compared(stage.store), published(stage)

    assert asyncio.run(played(True)) == asyncio.run(played(False))


async def test_what_is_due_after_a_growth_is_found_by_the_new_owner() -> None:
    stage = quiet()
    for id in MANY:
        await stage.say("promise.made", id, id="made", promise="p", by="us", due="2026-06-02T10:00:00Z", text="Report")
    await scored(stage)
    await grown(stage)
    member = await stage.worker()
    for _ in range(40):
        stage.now += HOUR
        await member.flush()
        await member.drain()
    assert {id for id, changes in stage.published_of_each().items() if changes} == set(MANY)


async def test_records_that_are_read_again_because_offsets_were_lost_count_once() -> None:
    stage = quiet()
    await everybody_speaks(stage, "first")
    await scored(stage)
    await grown(stage)
    stage.now += 9 * DAY  # longer than ids are kept
    await everybody_speaks(stage, "second")
    await scored(stage)
    before = compared(stage.store)
    for partition in range(stage.partitions):
        await stage.store.purge_dedup(partition, stage.now - 8 * DAY)
    stage.log.group(SCORING_GROUP, INTERACTIONS).committed.clear()
    await scored(stage)
    assert compared(stage.store) == before


class Ends(Exception):
    """The command's process ends here."""


class Frail:
    """A store or cluster that fails at its n-th change, before or after it has taken effect."""

    CHANGES = ("write", "set_incarnation", "grow")

    def __init__(self, real: Any, fuse: list[int], after: bool) -> None:
        self._real, self._fuse, self._after = real, fuse, after

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self._real, name)
        if name not in self.CHANGES:
            return method

        async def call(*args: Any) -> Any:
            self._fuse[0] -= 1
            if self._fuse[0] == 0 and not self._after:
                raise Ends
            answer = await method(*args)
            if self._fuse[0] == 0:
                raise Ends
            return answer

        return call


@pytest.mark.parametrize("after", [False, True])
async def test_a_growth_that_ended_anywhere_is_finished_by_giving_the_command_again(after: bool) -> None:
    never = quiet()
    await everybody_speaks(never, "first")
    await scored(never)
    await everybody_speaks(never, "first")
    await everybody_speaks(never, "second")
    await scored(never)
    ended = 0
    for fuse in range(1, 100):
        stage = quiet()
        await everybody_speaks(stage, "first")
        await scored(stage)
        weak = [fuse]
        cluster = Frail(MemoryCluster(stage.log), weak, after)
        try:
            await growth(stage, Frail(stage.store, weak, after), cluster, "first-try").to(AFTER)
        except Ends:
            ended += 1
        else:
            break
        await grown(stage)
        await everybody_speaks(stage, "first")
        await everybody_speaks(stage, "second")
        await scored(stage)
        assert compared(stage.store) == compared(never.store), fuse
    assert ended == 9  # three topics, relationships of four partitions, the beginnings, the record


async def test_clock_records_that_a_stopped_worker_left_do_not_hold_a_growth_up() -> None:
    stage = quiet()
    await everybody_speaks(stage, "first")
    await scored(stage)
    stage.now += HOUR
    for partition in range(BEFORE):
        await stage.tick(partition)
    await grown(stage)
    await scored(stage)
    assert stage.log.group(SCORING_GROUP, INTERACTIONS).committed[0] == stage.log.end(INTERACTIONS, 0)


async def refused(stage: Stage, to: int = AFTER) -> str:
    with pytest.raises(Misconfigured) as error:
        await growth(stage).to(to)
    return str(error.value)


async def test_it_is_refused_while_a_worker_is_in_its_group() -> None:
    stage = quiet()
    member = await worker(stage)
    await member.drain()
    assert "scoring: rapport.interactions. Stop ingest first, then scoring and alerts" in await refused(stage)
    assert stage.log.partitions_of(INTERACTIONS) == BEFORE


async def test_it_is_refused_while_anything_is_left_and_says_how_much_where() -> None:
    stage = quiet()
    await scored(stage)
    await everybody_speaks(stage, "first")
    message = await refused(stage)
    assert f"{3 * len(MANY)} records of rapport.interactions have not been read by scoring" in message
    assert "Start scoring with the present count, ingest stopped" in message
    member = await worker(stage)
    await member.drain()
    await member.kill()
    assert "records of rapport.updates have not been read by alerts" in await refused(stage)
    read_by_alerts(stage)
    await grown(stage)


async def test_it_is_refused_while_something_is_untold() -> None:
    stage = quiet()
    await scored(stage)
    state = await stage.store.partition_state(2) or PartitionState(id="2")
    place = {"incarnation": "one", "partition": 2, "position": 0, "writer": "w"}
    await stage.store.write([Write("partitions", "2", state.rev, place | {"unpublished": ("acme/acct-1",)})])
    assert "Flags of 1 relationships of partition 2 have changed, and alerts has not been told" in await refused(stage)


async def test_counts_that_cannot_be_are_refused() -> None:
    stage = quiet()
    assert "run `rapport init` first" in await refused(stage)
    await scored(stage)
    assert "a count can only grow" in await refused(stage, 3)
    assert "more than the 1024" in await refused(stage, 1025)
    assert await growth(stage).to(BEFORE) == Grown(BEFORE, BEFORE, 0, "one")
    stage.log.create(UPDATES, 7)
    assert "Growing to 7 partitions has begun, and a topic cannot be shrunk: say --to 7" in await refused(stage, 6)
    await grown(stage, 9)
    assert [stage.log.partitions_of(topic) for topic in (INTERACTIONS, UPDATES, INBOX)] == [9, 9, 9]


async def test_a_service_that_starts_in_between_stops_it_before_anything_is_moved() -> None:
    stage = quiet()
    await everybody_speaks(stage, "first")
    await scored(stage)

    class Raced(MemoryCluster):
        async def grow(self, topic: str, partitions: int) -> None:
            await super().grow(topic, partitions)
            await stage.say("message.received", "acct-1", id="raced", person="ana")

    with pytest.raises(Misconfigured, match="have not been read by scoring"):
        await growth(stage, cluster=Raced(stage.log)).to(AFTER)
    assert (await stage.state("acct-1")).incarnation == "one"
    assert (await topology(MemoryCluster(stage.log), stage.store)).growing_to() == AFTER
    await scored(stage)  # with the old count, which scoring and alerts may still do
    await grown(stage)


async def test_the_record_of_updates_and_inbox_follows_and_their_incarnations_stay() -> None:
    stage = quiet()
    await stage.store.set_incarnation(Incarnation(UPDATES, "u", BEFORE))
    await stage.store.set_incarnation(Incarnation(INBOX, "i", BEFORE))
    await scored(stage)
    await grown(stage)
    known: Sequence[Incarnation | None] = [await stage.store.incarnation(t) for t in (INTERACTIONS, UPDATES, INBOX)]
    assert known == [Incarnation(INTERACTIONS, NEW, 7), Incarnation(UPDATES, "u", 7), Incarnation(INBOX, "i", 7)]
    state = await stage.store.partition_state(6)
    assert state is not None
    assert (state.begins, state.published_into) == (0, "u")


def test_a_position_reads_on_from_what_is_committed_or_there() -> None:
    assert Position(0, 5, 9).left == 4
    assert Position(0, 5, 9, 7).left == 2
    assert Position(0, 5, 9, 3).left == 4
    assert Position(0, 5, 9, 12).left == 0
