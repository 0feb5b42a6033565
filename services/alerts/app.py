"""The alerts service put together: channels, processor, sweep, outbox worker, and when it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from services.alerts.channels import Channel
from services.alerts.channels.log import LogChannel
from services.alerts.channels.webhook import WebhookChannel
from services.alerts.outbox import OutboxWorker
from services.alerts.processor import AlertProcessor
from services.alerts.publish_pending import PendingPublisher
from services.alerts.sweep import Sweep
from shared.domain.contract.events import Millis
from shared.domain.errors import Misconfigured, Unavailable
from shared.domain.playbooks.model import ChannelName, Playbook
from shared.entry import as_far_as_possible
from shared.patience import Pause
from shared.playbooks.loader import load_playbook
from shared.settings import Settings
from shared.storage.store import Store
from shared.stream.admin import partition_counts
from shared.stream.member import KafkaMember
from shared.stream.ports import GroupMember, Publisher
from shared.stream.topics import ALERTS, ALERTS_GROUP, FEED, QUARANTINE, UPDATES, partitions_of
from shared.telemetry import Metrics, logger

FLUSH_MIN_MS, FLUSH_REST_MS, FLUSH_MAX_MS = 20, 100, 1_000  # an alert is wanted at once, so do not collect for long
WAIT_SECONDS = 0.25
ANSWER_SECONDS = 3.0


class Parts(msgspec.Struct, frozen=True):
    """What runs."""

    store: Store
    processor: AlertProcessor
    member: GroupMember
    sweep: Sweep
    outbox: OutboxWorker


def open_channels(settings: Settings) -> dict[str, Channel]:
    """The channels that are set up, by their name in playbooks. Raises Misconfigured."""
    channels: dict[str, Channel] = {ChannelName.LOG: LogChannel()}
    if settings.webhook_url:
        channels[ChannelName.WEBHOOK] = WebhookChannel(settings.webhook_url, settings.webhook_secret.get_secret_value())
    return channels


def build(
    settings: Settings,
    store: Store,
    publisher: Publisher,
    channels: Mapping[str, Channel],
    metrics: Metrics,
    clock: Callable[[], Millis],
    pause: Pause = asyncio.sleep,
) -> Parts:
    """The parts, connected to each other and to nothing else yet. Raises Misconfigured for a broken playbook."""
    playbook = load_playbook(settings.playbook)
    _name_what_is_passed_over(playbook, channels)
    settlement = PendingPublisher(store, publisher, playbook, channels.keys(), metrics, clock)
    processor = AlertProcessor(store, publisher, settlement, playbook, metrics, clock, pause)
    member = KafkaMember(
        bootstrap=settings.kafka,
        group=ALERTS_GROUP,
        topic=UPDATES,
        processor=processor,
        instance=settings.instance,
        flush_min_ms=FLUSH_MIN_MS,
        flush_max_ms=FLUSH_MAX_MS,
        flush_rest_ms=FLUSH_REST_MS,
        session_timeout_ms=settings.session_timeout_ms,
        metrics=metrics,
    )
    sweep = Sweep(store, settlement, metrics, clock)
    return Parts(store, processor, member, sweep, OutboxWorker(store, channels, metrics, clock, settlement.woken))


def _name_what_is_passed_over(playbook: Playbook, channels: Mapping[str, Channel]) -> None:
    named = {str(channel) for rule in playbook.rules.values() if rule.enabled for channel in rule.channels}
    logger().info(
        "channels",
        set_up=sorted(map(str, channels)),
        passed_over=sorted(named - set(channels)),
        playbook=playbook.version,
    )


async def prepared(settings: Settings, store: Store) -> None:
    """Return once the store answers and the topics are there. Raises Misconfigured for another partition count."""
    published = ""
    while True:
        try:
            await store.prepare()
            await _check_topics(settings)
            return
        except Unavailable as error:
            if published != str(error):
                logger().info("waiting", reason=str(error))
            published = str(error)
        await asyncio.sleep(WAIT_SECONDS)


async def _check_topics(settings: Settings) -> None:
    counts = await partition_counts(settings.kafka, timeout=ANSWER_SECONDS)
    for topic in (UPDATES, ALERTS, FEED, QUARANTINE):
        wanted = partitions_of(topic, settings.partitions)
        if topic not in counts:
            raise Unavailable(f"Topic {topic} is missing: run `rapport init`.")
        if counts[topic] < wanted:  # more there are while they are being grown, and what is left must be read
            raise Misconfigured(
                f"Topic {topic} has {counts[topic]} partitions, {wanted} are configured: set RAPPORT_PARTITIONS to "
                "what rapport.interactions was created with, or name another Kafka cluster."
            )


async def missing(parts: Parts) -> str:
    """What keeps the service from being ready, in words; empty when it is."""
    try:
        await parts.store.ping()
    except Unavailable as error:
        return str(error)
    return "" if parts.processor.joined else "not yet a member of the consumer group"


async def run(settings: Settings, parts: Parts, stop: asyncio.Event) -> None:
    """Until told to stop or a part fails; the consumer stops first, so that what it has begun is seen through."""
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(stop.wait(), name="stop")
        preparing = group.create_task(prepared(settings, parts.store), name="preparing")
        await asyncio.wait({stopping, preparing}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await preparing
            consuming = group.create_task(as_far_as_possible(parts.member.run(), stop), name="member")
            helping = [group.create_task(parts.sweep.run(), name="sweep")]
            helping.append(group.create_task(parts.outbox.run(), name="outbox"))
            await asyncio.wait({stopping, consuming}, return_when=asyncio.FIRST_COMPLETED)
            await parts.member.stop()
            await consuming
            for task in helping:
                task.cancel()
        stopping.cancel()
        preparing.cancel()
