"""The compose file, the image, Prometheus and Grafana, held against the settings, the commands and the metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.cli.app import app
from shared.settings import Settings
from shared.telemetry import Metrics, of_process

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
OURS = ("ingest", "scoring", "alerts", "api")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def settings_named_in(environment: dict[str, Any]) -> set[str]:
    return {name for name in environment if name.startswith("RAPPORT_")}


def test_every_part_is_there() -> None:
    assert set(services()) == {"kafka", "mongo", "init", *OURS, "prometheus", "grafana"}


@pytest.mark.parametrize("name", ["init", *OURS])
def test_every_setting_exists_and_has_a_value_that_it_accepts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = services()[name]["environment"]
    known = {f"RAPPORT_{field.upper()}" for field in Settings.model_fields}
    assert settings_named_in(environment) <= known
    for variable in settings_named_in(environment):
        monkeypatch.setenv(variable, without_substitution(str(environment[variable])))
    assert Settings(_env_file=None).kafka == "kafka:9092"  # type: ignore[call-arg]


def without_substitution(text: str) -> str:
    """The value with `${NAME:-default}` and `${NAME:?message}` replaced as if NAME were unset, or set to x."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{\w+:\?[^}]*\}", "x", text)


@pytest.mark.parametrize("name", ["init", *OURS])
def test_services_run_commands_that_exist(name: str) -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert services()[name]["command"] == [name]
    assert name in commands


@pytest.mark.parametrize("name", OURS)
def test_services_start_when_the_topics_exist(name: str) -> None:
    assert services()[name]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}


def test_topics_are_made_when_kafka_and_mongodb_answer() -> None:
    assert services()["init"]["depends_on"] == {
        "kafka": {"condition": "service_healthy"},
        "mongo": {"condition": "service_healthy"},
    }
    assert services()["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_mongodb_is_a_replica_set_as_its_url_says() -> None:
    command = services()["mongo"]["command"]
    name = command[command.index("--replSet") + 1]
    assert services()["api"]["environment"]["RAPPORT_MONGO"].endswith(f"replicaSet={name}")
    assert "rs.initiate" in services()["mongo"]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", ["kafka", "mongo", "prometheus", "grafana"])
def test_images_of_others_are_pinned_to_a_release(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", services()[name]["image"])


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)


@pytest.mark.parametrize("name", ["kafka", "mongo", "prometheus", "grafana"])
def test_servers_have_a_health_check(name: str) -> None:
    assert services()[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", OURS)
def test_services_are_asked_for_readiness_on_their_own_port(name: str) -> None:
    environment = services()[name]["environment"]
    port = environment.get(f"RAPPORT_{name.upper()}_PORT") or environment["RAPPORT_METRICS_PORT"]
    assert environment["HEALTH_URL"] == f"http://127.0.0.1:{port}/readyz"
    for mapping in services()[name].get("ports", []):
        assert mapping.endswith(f":{port}")


def test_nothing_runs_as_root() -> None:
    users = {name: str(service.get("user", "root")) for name, service in services().items()}
    assert not {name for name, user in users.items() if user in ("root", "0")}


@pytest.mark.parametrize("name", ["init", *OURS])
def test_our_containers_have_no_rights_they_do_not_need(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_no_secret_is_written_down() -> None:
    for name, service in services().items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("SECRET|PASSWORD|TOKEN", variable):
                assert str(value).startswith("${"), f"{name}: {variable}"
    example = (ROOT / "deploy" / "env.example").read_text()
    assert not re.findall(r"^\w*(?:SECRET|PASSWORD)\w*=.+$", example, re.MULTILINE)


def test_every_variable_that_compose_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    example = (ROOT / "deploy" / "env.example").read_text()
    assert asked == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_the_image_is_built_in_stages_from_the_lock_and_runs_as_nobody_special() -> None:
    text = DOCKERFILE.read_text()
    assert len(re.findall(r"^FROM python:\d+\.\d+\.\d+-slim-\w+", text, re.MULTILINE)) == 2
    assert "--require-hashes -r deploy/requirements.lock" in text
    users = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert users == ["10001"]
    assert "HEALTHCHECK" in text
    assert "curl" not in text


def test_everything_the_image_copies_is_let_through() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in " ".join(copied).split():
        assert source in let_through
        assert (ROOT / source).exists()


def test_the_images_lock_holds_the_same_versions() -> None:
    def versions(path: Path) -> set[str]:
        return set(re.findall(r"^([\w.-]+==\S+)", path.read_text(), re.MULTILINE))

    assert versions(ROOT / "deploy" / "requirements.lock") < versions(ROOT / "requirements.lock")


def test_prometheus_asks_every_service_where_it_listens() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = {target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]}
    ports = {}
    for name in OURS:
        environment = services()[name]["environment"]
        ports[name] = environment.get(f"RAPPORT_{name.upper()}_PORT") or environment["RAPPORT_METRICS_PORT"]
    assert targets == {f"{name}:{port}" for name, port in ports.items()}


def test_grafana_draws_every_metric_and_no_other_from_the_provisioned_source() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "rapport.json").read_text())
    source = yaml.safe_load(
        (ROOT / "deploy" / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    drawn: set[str] = set()
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == source["datasources"][0]["uid"]
        for target in panel["targets"]:
            named = set(re.findall(r"(?:rapport|process)_\w+", target["expr"]))
            assert named, panel["title"]
            drawn |= named
    assert metric_names(Metrics("test")) <= drawn <= metric_names(of_process(Metrics("test")))


def metric_names(metrics: Metrics) -> set[str]:
    """Names as Prometheus stores them: counters end in _total, histograms have buckets."""
    names = set()
    for family in metrics.registry.collect():
        suffix = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
        names.add(family.name + suffix)
    return names
