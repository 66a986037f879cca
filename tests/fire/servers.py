"""servers: a real PostgreSQL and an S3-compatible server, for tests alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a server's `postgres` database."""
    programs = _programs()
    place = Path(tempfile.mkdtemp(prefix="lichen-pg-", dir="/tmp"))  # a socket's path must be short
    as_whom: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
        shutil.chown(place, "postgres", "postgres")
        as_whom = ["runuser", "-u", "postgres", "--"]
    data = place / "data"
    started = [*as_whom, str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(started, check=True, capture_output=True)
    server = subprocess.Popen(
        [*as_whom, str(programs / "postgres"), "-D", str(data), "-k", str(place), "-h", "", "-F"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"postgresql:///postgres?host={place}&user=postgres"
    try:
        _wait(lambda: _answers(url))
        yield url
    finally:
        subprocess.run([*as_whom, str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"],
                       check=False, capture_output=True)  # fmt: skip
        server.wait(20)
        shutil.rmtree(place, ignore_errors=True)


def _programs() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if all((place / name).exists() for name in ("initdb", "postgres", "pg_ctl")):
            return place
    pytest.skip("needs a PostgreSQL server (Debian's package postgresql)")


def _answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def database(url: str, name: str) -> str:
    """The address of a new, empty database of a server."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.replace("/postgres?", f"/{name}?")


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """What the environment must hold to reach a server with the bucket `lichen`."""
    pytest.importorskip("moto", reason="needs moto[server]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: _is_up(address))
        request = urllib.request.Request(f"{address}/lichen", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        yield {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
               "AWS_DEFAULT_REGION": "us-east-1"}  # fmt: skip
    finally:
        server.terminate()
        server.wait(20)


def _is_up(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/moto-api/", timeout=2).close()
    except OSError:
        return False
    return True


def _wait(is_ready, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_ready():
        if time.monotonic() > end:
            raise TimeoutError("the server did not start")
        time.sleep(0.1)
