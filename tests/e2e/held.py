"""What the log of a running stack holds."""

from __future__ import annotations

from services.scoring.decode import read
from shared.stream.reader import KafkaReader
from shared.stream.topics import INTERACTIONS


async def held(kafka: str, partitions: int) -> dict[int, list[int]]:
    """By partition of the log, how many events each record holds; a clock record counts as one."""
    reader = KafkaReader(kafka)
    found: dict[int, list[int]] = {number: [] for number in range(partitions)}
    try:
        for number, sizes in found.items():
            first, end = await reader.bounds(INTERACTIONS, number)
            if first < end:
                async for record in reader.read(INTERACTIONS, number, first, follow=False):
                    sizes.append(len(read(record)))
    finally:
        await reader.close()
    return found
