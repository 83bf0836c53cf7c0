"""What the commands that ask the API are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.children import free_port
from tests.compose.shell import MASTER_KEYS, NOWHERE, hookline_here, started, wait_for_file
from tests.compose.standin import TOKEN, StandIn, standing_in
from tests.conftest import database


@pytest.fixture
def standin_api() -> Iterator[StandIn]:
    """A stand-in at the wire, for answers that the real API gives seldom or not at will."""
    with standing_in() as standin:
        yield standin


@pytest.fixture(scope="module")
def real_api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of a command that asks the real API, on the run's PostgreSQL and without Kafka.

    A module's tests share it: starting one takes 6 s of a core.
    """
    with database(postgres_url) as url:
        assert hookline_here("db", "upgrade", DATABASE_URL=url).code == 0
        yield from _serving(url, tmp_path_factory.mktemp("api"))


def _serving(database_url: str, folder: Path) -> Iterator[dict[str, str]]:
    port, ready = free_port(), folder / "api.ready"
    env = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "HOOKLINE_MASTER_KEYS": MASTER_KEYS,
        "HOOKLINE_ADMIN_TOKEN": TOKEN,
        "HOOKLINE_DEVELOPMENT": "true",
        "HOOKLINE_API_PORT": str(port),
        "HOOKLINE_READY_FILE": str(ready),
    }
    with started("api", cwd=folder, **env) as process:
        wait_for_file(ready, process)
        yield {"HOOKLINE_API_URL": f"http://127.0.0.1:{port}", "HOOKLINE_ADMIN_TOKEN": TOKEN}
