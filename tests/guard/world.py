"""A network namespace in which every address in the world is answered by us, so that what gets out is heard.

Nothing leaves it: its only interface is loopback, to which the kernel is told to deliver all there is. So the guard can
be broken here, and a refused address that is dialled all the same connects.
"""

import os
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

OWN: Final = ("8.8.4.4", "2606:4700::5")  # addresses of this machine here, public ones
PROXY: Final = "9.9.9.9"  # what the environment names as proxy: never to be dialled
_PORTS: Final = (443, 8443, 22, 80)
_A, _AAAA = 1, 28

Answer = Callable[[str, int], Sequence[str]]


def enter() -> None:
    """Make this process's namespace the world; it has been entered by `unshare -rnm`."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        raise SystemExit("only inside `unshare -rnm`: what is tried here must reach nobody")
    for command in (
        "link set lo up",
        f"addr add {OWN[0]}/32 dev lo",
        f"-6 addr add {OWN[1]}/128 dev lo",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:10 attempts:3\n")
    Path(file.name).chmod(0o644)
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
    Path(file.name).unlink()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = f"http://{PROXY}:8443"


class Ears:
    """Listens on every address and on some ports, answers nothing, and says which addresses were called.

    It hears twice: `called` by what the listeners accepted, `dialled` by the interpreter's audit of `socket.connect`,
    which hears also what found nobody.
    """

    def __init__(self) -> None:
        self.called: list[tuple[str, int]] = []
        self.dialled: list[tuple[str, int]] = []
        self._selector = selectors.DefaultSelector()
        for port in _PORTS:
            for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                listening = socket.create_server((anywhere, port), family=family, backlog=1024)
                listening.setblocking(False)
                self._selector.register(listening, selectors.EVENT_READ)
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        sys.addaudithook(self._hear)

    def heard(self) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Return what was called and dialled since the last time."""
        self._accept(timeout_s=0)
        called, dialled = self.called, self.dialled
        self.called, self.dialled = [], []
        return called, dialled

    def _listen(self) -> None:
        while True:
            self._accept(timeout_s=1)

    def _accept(self, *, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            with self._lock, suppress(BlockingIOError):
                while True:
                    calling, _ = key.fileobj.accept()  # type: ignore[union-attr]  # a socket was registered
                    address, port = calling.getsockname()[:2]
                    self.called.append((address, port))
                    calling.close()

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect" and isinstance(target := arguments[1], tuple):
            self.dialled.append((str(target[0]), int(target[1])))


class NameServer:
    """A real name server on port 53 that lies as told: `answer(name, number of its question)`, with a TTL of 0."""

    def __init__(self, answer: Answer) -> None:
        self.asked: dict[tuple[str, int], int] = {}
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, caller = self._socket.recvfrom(512)
            self._socket.sendto(self._answered(question), caller)

    def _answered(self, question: bytes) -> bytes:
        """Return the answer (RFC 1035, 4.1): the question and one record for each address of the kind asked for."""
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("latin-1"))
            at += 1 + length
        name, (kind,) = ".".join(labels).lower(), struct.unpack_from("!H", question, at + 1)
        self.asked[name, kind] = self.asked.get((name, kind), 0) + 1
        addresses = [ip_address(each) for each in self._answer(name, self.asked[name, kind])]
        found = [each.packed for each in addresses if (each.version == 4) == (kind == _A) and kind in (_A, _AAAA)]
        head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, 0)
        records = [struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in found]
        return head + question[12 : at + 5] + b"".join(records)
