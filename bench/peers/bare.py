"""Row `bare`: aiokafka's getmany and msgspec decoding, and nothing else: the limit. `python -m bench.peers.bare`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.peers.fold import decode
from bench.peers.measure import Log, Stopwatch

PARTITION_FETCH_BYTES = 4 << 20  # as Rapport's member fetches


async def drain(log: Log, watch: Stopwatch) -> int:
    """Read and decode the whole log; how many records there were."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=log.bootstrap,
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
    )
    await consumer.start()
    try:
        places = [TopicPartition(log.topic, number) for number in log.ends]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        watch.begin()
        seen = 0
        while seen < log.events:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    decode(record.value)
                seen += len(records)
        watch.end()
        return seen
    finally:
        await consumer.stop()


if __name__ == "__main__":
    stopwatch = Stopwatch()
    count = uvloop.run(drain(Log(Path(sys.argv[1])), stopwatch))
    stopwatch.write(Path(sys.argv[2]), count, "")
