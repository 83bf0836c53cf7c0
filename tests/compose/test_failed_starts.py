"""Why `hookline up` does not start: one line that says what the process that failed said, and where the rest is."""

import sys
from pathlib import Path

import pytest

from compose.children import EmbeddedServerError
from compose.complaints import complaint_of
from compose.stack import Stack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "postgres.password").write_text("secret")  # part of every process's settings
    return tmp_path


def test_a_command_that_fails_is_told_with_its_reason(folder: Path) -> None:
    stack = Stack(folder, env={"HOOKLINE_RETRY_WAITS": "5x"})

    with pytest.raises(EmbeddedServerError) as raised:
        stack._run("topics", "apply")

    _, line = complaint_of(raised.value)
    assert line.startswith("hookline topics apply failed: HOOKLINE_RETRY_WAITS: '5x' is no duration")
    assert str(folder / "logs" / "topics-apply.log") in line


def test_a_process_that_ends_again_and_again_is_told_with_its_reason(folder: Path) -> None:
    ending = (sys.executable, "-c", "import sys; sys.exit('hookline: set HOOKLINE_MASTER_KEYS')")
    stack = Stack(folder, commands={"worker-0": ending})
    (folder / "run").mkdir()
    stack._add("worker-0", ("worker",))
    stack._watcher.start()
    try:
        with pytest.raises(EmbeddedServerError) as raised:
            stack.wait_until_ready("worker-0")
    finally:
        stack._stopping.set()
        stack._watcher.join()
        if (child := stack._processes["worker-0"].child) is not None:
            child.stop(within_s=30)

    _, line = complaint_of(raised.value)
    assert line.startswith("worker-0 ends again and again: set HOOKLINE_MASTER_KEYS (")
    assert str(folder / "logs" / "worker-0.log") in line
