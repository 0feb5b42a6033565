"""`rapport up --embedded` as one command, with real embedded servers and tiny services in place of ours.

What the real services do on it is tested end to end elsewhere; here it is their supervision that counts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from shared.embedded import doctor
from shared.embedded.ports import LOOPBACK
from shared.stream import admin, topics
from tests.embedded.stack import NAMES, WITHIN, children, gone, listening, until, up

pytestmark = pytest.mark.embedded

SERVICE = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
name = {name!r}
port = os.environ.get(f"RAPPORT_{{name.upper()}}_PORT") or os.environ["RAPPORT_METRICS_PORT"]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *arguments):
        pass
print(name, "serves with", os.environ["RAPPORT_PARTITIONS"], "partitions", flush=True)
HTTPServer((os.environ["RAPPORT_HOST"], int(port)), Handler).serve_forever()
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A working directory whose `services` package has the tiny ones."""
    for name in NAMES:
        package = tmp_path / "services" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(SERVICE.format(name=name))
    (tmp_path / "services" / "__init__.py").touch()
    return tmp_path


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_one_command_starts_everything_and_one_ctrl_c_stops_it(here: Path) -> None:
    with up(here) as stack:
        ready = stack.ready()
        mode = stat.S_IMODE(stack.ready_file.stat().st_mode)
        pids = set(children(stack.process.pid))
        assert len(pids) == 6
        addresses = listening({*pids, stack.process.pid})
        assert stack.stop() < 10
    assert set(ready) == {"api", "dashboard", "ingest", "kafka", "mongo", "write_key", "api_key", "tenant"}
    assert all(ready[name].startswith(f"http://{LOOPBACK}:") for name in ("api", "dashboard", "ingest"))
    assert mode == 0o600
    assert not stack.ready_file.exists(), "it would tell of a stack that is gone"
    assert stack.out_file.read_text() == "".join(f"{name:<10} {value}\n" for name, value in ready.items())
    assert len(addresses) == 6
    assert {address for address, _ in addresses} == {"0100007F"}, "something listens beyond loopback"
    assert stack.process.returncode == 0
    assert all(gone(pid) for pid in pids)
    assert "ingest    │ ingest serves with 2 partitions" in stack.log
    assert stack.log.endswith("rapport   │ Stopped.\n")


@linux
def test_it_goes_on_and_can_be_stopped_when_nobody_reads_its_log_any_more(here: Path) -> None:
    os.mkfifo(here / "log")
    reader = os.open(here / "log", os.O_RDONLY | os.O_NONBLOCK)
    with up(here) as stack:
        os.close(reader)  # as when a terminal is closed, or Ctrl-C ends what the output was piped to
        stack.ready()
        pids = children(stack.process.pid)
        os.kill(stack.pid("alerts"), signal.SIGKILL)
        until(lambda: set(children(stack.process.pid)) - set(pids))  # which is said, too
        assert stack.stop() < 10
        assert stack.process.returncode == 0
        assert all(gone(pid) for pid in pids)


@linux
def test_a_second_start_finds_its_keys_again_even_after_kill_9(here: Path) -> None:
    with up(here) as stack:
        first = stack.ready()
        pids = children(stack.process.pid)
        stack.process.kill()
        stack.process.wait()
        until(lambda: all(gone(pid) for pid in pids))
    with up(here) as stack:
        until(lambda: "Everything is ready" in stack.log)
        second = stack.ready()
        assert stack.stop(signal.SIGTERM) < 10
        assert stack.process.returncode == 0
    keys = ("write_key", "api_key", "tenant")
    assert [first[key] for key in keys] == [second[key] for key in keys]


@linux
def test_after_the_brokers_death_services_start_anew_on_new_topics_and_the_log_says_what_is_lost(here: Path) -> None:
    with up(here) as stack:
        stack.ready()
        before = {name: stack.pid(name) for name in (*NAMES, "mongo")}
        os.kill(stack.pid("kafka"), signal.SIGKILL)
        until(lambda: stack.log.count("Everything is ready") == 2)
        after = {name: stack.pid(name) for name in (*NAMES, "mongo")}
        stack.stop()
    assert before["mongo"] == after["mongo"]
    assert all(before[name] != after[name] for name in NAMES)
    assert "The embedded broker ended with signal 9. It keeps its log in memory" in stack.log
    assert stack.log.count("Topics of a new incarnation: rapport.alerts, ") == 2


@linux
def test_another_partition_count_ends_it_with_what_to_do(here: Path) -> None:
    with up(here) as stack:
        stack.ready()
        stack.stop()
    with up(here, "--partitions", "4") as stack:
        assert stack.process.wait(WITHIN) == 1
    assert "set RAPPORT_PARTITIONS (or --partitions) to 2" in stack.log
    assert "Traceback" not in stack.log


@linux
@pytest.mark.kafka
def test_servers_that_exist_already_are_used_and_left_running(
    here: Path, kafka_bootstrap: str, fresh_mongo_url: str
) -> None:
    asyncio.run(admin.delete_topics(kafka_bootstrap, list(admin.ALL)))
    with up(here, "--kafka", kafka_bootstrap, "--mongo", fresh_mongo_url) as stack:
        ready = stack.ready()
        assert len(children(stack.process.pid)) == len(NAMES)
        assert stack.stop() < 10
    assert (ready["kafka"], ready["mongo"]) == (kafka_bootstrap, fresh_mongo_url)
    counts = asyncio.run(admin.partition_counts(kafka_bootstrap))
    assert counts[topics.INTERACTIONS] == 2


@linux
def test_the_doctor_finds_a_running_stack_well_and_warns_of_a_broker_that_has_grown(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with up(here) as stack:
        stack.ready()
        findings = asyncio.run(doctor.examine(here / "data"))
        monkeypatch.setattr(doctor, "BROKER_LIMIT", 1)
        grown = asyncio.run(doctor.examine(here / "data"))
        stack.stop()
    assert {"broker memory", "kafka", "mongo", *NAMES} <= {finding.subject for finding in findings}
    assert [finding for finding in findings if not finding.well] == []
    (warning,) = [finding for finding in grown if not finding.well]
    assert warning.subject == "broker memory"
    assert "restart the stack" in warning.advice
