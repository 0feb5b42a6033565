"""The examples of docs/api.md, sent as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.api_world import ACME, World, a_head, a_world, an_alert, key_of, put_alert, put_head

GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as found:
        yield found


def examples() -> list[list[str]]:
    """The words of every curl command, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("curl ")]


def request_of(words: list[str], key: str) -> dict[str, Any]:
    """What curl would send; an option that is not known here fails."""
    request: dict[str, Any] = {"method": "GET", "headers": {}}
    words = [word.replace("$ID", "acct-42").replace("$ALERT", "acme%2Facct-42%2Fsilence%2F") for word in words]
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            request["method"] = next(rest)
        elif word == "-H":
            name, _, value = next(rest).replace("$KEY", key).partition(": ")
            request["headers"][name] = value
        elif word == "-d":
            request["content"] = next(rest)
        elif word.startswith("$API"):
            request["url"] = word.removeprefix("$API")
        else:
            assert word in ("-s", "-N"), word
    return request


async def test_the_examples_of_the_guide_work_in_their_order(world: World) -> None:
    await put_head(world.store, a_head(ACME, "acct-42"))
    await put_alert(world, an_alert(ACME, "acct-42"))
    client: httpx.AsyncClient = world.client()
    sent = examples()
    for words in sent:
        if "-N" not in words:
            answer = await client.request(**request_of(words, key_of(ACME)))
            assert answer.status_code == 200, (words, answer.text)
    assert len(sent) == 12
    (alert,) = (await world.acme.get("/v1/alerts")).json()["items"]
    assert [line["what"] for line in alert["timeline"]] == ["opened", "acknowledged", "commented", "resolved"]


async def test_ids_are_those_of_the_lists_above(world: World) -> None:
    await put_head(world.store, a_head(ACME, "acct/42"))
    await put_alert(world, an_alert(ACME, "acct/42"))
    (function,) = re.findall(r"^first\(\) .*$", GUIDE, re.MULTILINE)
    lists = re.findall(r'^export (ID|ALERT)=\$\(curl -s "\$API(\S+)" -H .* \| first\)$', GUIDE, re.MULTILINE)
    found = {}
    for name, url in lists:
        listed = (await world.acme.get(url)).text
        command = f"{function}\nfirst"
        done = subprocess.run(["bash", "-c", command], input=listed, capture_output=True, text=True, check=True)  # noqa: ASYNC221
        found[name] = done.stdout.strip()
    assert found == {"ID": "acct%2F42", "ALERT": "acme%2Facct%252F42%2Fsilence%2F"}
    assert (await world.acme.get(f"/v1/relationships/{found['ID']}")).status_code == 200
    assert (await world.acme.get(f"/v1/alerts/{found['ALERT']}")).status_code == 200


async def test_every_route_and_every_problem_is_in_the_guide() -> None:
    named = {word.partition("?")[0] for words in examples() for word in words if word.startswith("$API")}
    assert {path.removeprefix("$API/v1/").split("/")[0] for path in named} == {
        "me",
        "relationships",
        "alerts",
        "stream",
    }
    source = "".join(path.read_text() for path in (Path(__file__).parents[2] / "services" / "api").rglob("*.py"))
    slugs = set(re.findall(r'Problem\(\s*\d+,\s*"([a-z-]+)"', source)) | {
        "not-found",
        "method-not-allowed",
        "too-large",
    }
    assert {slug for slug in slugs if f"`{slug}`" not in GUIDE} == set()
