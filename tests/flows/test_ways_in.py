"""docs/cloudevents.md stays true: its examples run as they are written, and what they publish is on the log."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from compose.stack import Stack
from tests.flows.conftest import Organization

PAGE = (Path(__file__).parents[2] / "docs" / "cloudevents.md").read_text()
RUNNABLE = re.compile(r"<!-- run -->\n```(\w+)\n(.*?)```", re.DOTALL)


@pytest.mark.flow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
async def test_its_examples_run_and_are_on_the_log(stack: Stack) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "HOOKLINE_API_URL": stack.api_url,
        "HOOKLINE_ADMIN_TOKEN": stack.admin_token,
    }
    said = []
    for language, code in RUNNABLE.findall(PAGE):
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euc", code]
        ran = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        said.append(ran.stdout)
    assert [text.count("evt_") for text in said] == [0, 1, 1, 1, 1]
    assert "/1/type" in said[3]
    assert '"summary":{"lines":2,"published":1,"refused":1' in said[4]
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        organization = Organization("org_default", api, stack)
        for number in (123, 124, 125, 126, 128):
            await organization.until("/events", lambda page: page["data"], source_id=f"signup-{number}")
