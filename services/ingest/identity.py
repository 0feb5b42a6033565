"""Who an event is about: from its subject to a relationship's id."""

from __future__ import annotations


def relationship_of(tenant: str, subject: str) -> str:
    """The relationship's id: the subject itself, without blanks around it.

    A mail address or a domain is taken as an id of its own. Mapping it to the relationship that lists the domain in
    its directory (`domains` of `relationship.updated`) belongs here, and is not done yet.
    """
    return subject.strip()
