"""Another host, one `ssh` away: a server of the tests' own on localhost, and libvirt URIs that lead through it.

The client is the machine's `ssh`, with a configuration, keys and known hosts of its own: nothing of the person's who
runs the tests is read or written.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import asyncssh

#: What `nc -U` does, for libvirt to run at the other end: a machine may lack it.
NETCAT = """\
import os, socket, sys, threading

if "-U" not in sys.argv:
    sys.exit(2)  # libvirt asks which options it knows
there = socket.socket(socket.AF_UNIX)
there.connect(sys.argv[sys.argv.index("-U") + 1])

def send():
    while data := os.read(0, 65536):
        there.sendall(data)
    there.shutdown(socket.SHUT_WR)

threading.Thread(target=send, daemon=True).start()
with open(1, "wb", buffering=0) as out:
    while data := there.recv(65536):
        while data:
            data = data[out.write(data) :]
"""

SSH_CONFIG = """\
Host {name}
    HostName 127.0.0.1
    Port {port}
    User tester
    HostKeyAlias there
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
"""


class Sshd:
    """See the module. Made by `serve_ssh`."""

    def __init__(self, directory: Path, port: int) -> None:
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._directory = directory
        self._port = port

    def uri(self, libvirt_socket: Path) -> str:
        """The URI of the libvirtd that listens at this socket, by way of this server."""
        program, netcat = self._directory / "ssh", self._directory / "netcat"
        where = f"qemu+ssh://tester@127.0.0.1:{self._port}/system"
        return f"{where}?socket={libvirt_socket}&proxy=netcat&netcat={netcat}&command={program}"

    def config(self, name: str) -> str:
        """What an ssh_config(5) says of this server as the host `name`."""
        directory = self._directory
        return SSH_CONFIG.format(
            name=name, port=self._port, known_hosts=directory / "known_hosts", key=directory / "key"
        )

    def drop(self) -> None:
        """Drops every connection, as a network that fails does."""
        for connection in tuple(self.connections):
            connection.abort()


@contextlib.asynccontextmanager
async def serve_ssh(directory: Path, variables: Mapping[str, str] = MappingProxyType({})) -> AsyncIterator[Sshd]:
    """A server with its files in `directory`, which has to exist, until the context is left. What is run there has
    `variables` in its environment."""
    ssh = shutil.which("ssh")
    if ssh is None:
        raise RuntimeError("the integration tests need ssh: run 'make setup'")
    host_key, client_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    server: Sshd

    class Server(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self._connection = conn
            server.connections.add(conn)

        def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncssh's signature
            server.connections.discard(self._connection)

    async with asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Server,
        server_host_keys=[host_key],
        authorized_client_keys=asyncssh.import_authorized_keys(client_key.export_public_key().decode()),
        process_factory=partial(_run, {**os.environ, **variables}),
        encoding=None,
    ) as listening:
        server = Sshd(directory, listening.get_port())
        files = {
            "key": client_key.export_private_key().decode(),
            "known_hosts": f"there {host_key.export_public_key().decode()}",
            "config": server.config("127.0.0.1"),
            "netcat": f"#!{sys.executable}\n{NETCAT}",
            "ssh": f'#!/bin/sh\nexec {ssh} -F {shlex.quote(str(directory / "config"))} "$@"\n',
        }
        for name, text in files.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o700)
        try:
            yield server
        finally:
            server.drop()


async def _run(environment: Mapping[str, str], process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """Runs what the client asks for, until it ends or the client is gone."""
    assert process.command is not None
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(_pump(process.stdin, child.stdin))
            tasks.create_task(_pump(child.stderr, process.stderr))
            await _pump(child.stdout, process.stdout)
            status = await child.wait()
            typing.cancel()  # nobody takes it any more
        process.exit(status)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _pump(
    source: "asyncio.StreamReader | asyncssh.SSHReader[bytes]", sink: "asyncio.StreamWriter | asyncssh.SSHWriter[bytes]"
) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):  # one of the two is gone
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
