"""Publishing changed alerts and scores: on `rapport.alerts` for machines, on `rapport.feed` for the live streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from shared import wire
from shared.domain.alerts.alert import Alert
from shared.domain.alerts.feed import FeedItem, alert_item, score_item
from shared.domain.relationship.flags import Update
from shared.stream.ports import Message, Publisher
from shared.stream.topics import ALERTS, FEED

PARTITION = 0  # both topics have one partition: every listener sees every change in one order


class PublishedMarks(Protocol):
    """The part of the store that this needs."""

    async def mark_published(self, id: str, version: int) -> None: ...


async def publish_alert(publisher: Publisher, store: PublishedMarks, alert: Alert) -> None:
    """Publish an alert that the caller has just stored (rule 17). Raises Unavailable; the sweep then makes it good."""
    await publish_alerts(publisher, [alert])
    if previous_was_published(alert):
        await store.mark_published(alert.id, alert.version)


def previous_was_published(alert: Alert) -> bool:
    """Whether the version before this one was seen through: delivered to the outbox and published.

    If it was not, whoever made it fell in between, and only the sweep of the alerts service may close the gap, since
    it alone knows the deliveries that are owed. So a later change must not hide the gap by marking itself published.
    """
    return alert.published_version >= alert.version - 1


async def publish_alerts(publisher: Publisher, alerts: Sequence[Alert]) -> None:
    """Append alerts to both topics, in order. Raises Unavailable."""
    if alerts:
        whole = [Message(wire.encode(alert), key=alert.id.encode()) for alert in alerts]
        await asyncio.gather(
            publisher.publish(FEED, PARTITION, [_feed_message(alert_item(alert)) for alert in alerts]),
            publisher.publish(ALERTS, PARTITION, whole),
        )


async def publish_scores(publisher: Publisher, updates: Sequence[Update]) -> None:
    """Append the scores of these updates to the feed, in order. Raises Unavailable."""
    if updates:
        await publisher.publish(FEED, PARTITION, [_feed_message(score_item(update)) for update in updates])


def _feed_message(item: FeedItem) -> Message:
    return Message(wire.encode(item), key=f"{item.tenant}/{item.kind}/{item.id}".encode())
