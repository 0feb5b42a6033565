"""What travels on `rapport.feed`: the items of the live streams."""

from __future__ import annotations

import msgspec

from shared.domain.alerts.alert import Alert
from shared.domain.alerts.present import alert_json, raw_json, score_json
from shared.domain.relationship.flags import Update

ALERT = "alert"
SCORE = "score"


class FeedItem(msgspec.Struct, frozen=True):
    """One change to show to a tenant's listeners. Delivered at least once; an older one may follow a newer.

    `kind` is "alert" or "score", `id` the alert's or the relationship's. Of a (kind, id), an item with a lower
    `version` than the one shown is to be dropped; with the same, the later one counts. `payload` is the JSON to show
    (shared.domain.alerts.present), passed through as it is.
    """

    kind: str
    tenant: str
    id: str
    version: int
    payload: msgspec.Raw


def alert_item(alert: Alert) -> FeedItem:
    """An alert as it is now; its own version orders it."""
    return FeedItem(ALERT, alert.tenant, alert.id, alert.version, raw_json(alert_json(alert)))


def score_item(update: Update) -> FeedItem:
    """The scores of a relationship; the moment they were computed at orders them."""
    return FeedItem(SCORE, update.tenant, update.relationship, update.at, raw_json(score_json(update)))
