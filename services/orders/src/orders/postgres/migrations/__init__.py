"""Revisions of the schema, in order. CONTRIBUTING.md says how to add one."""

from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_FOLDER: Final = Path(__file__).parent


def head_revision() -> str:
    """Return the revision that this code needs."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise LookupError("the package has no migrations")
    return head


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration for these revisions, which run on the connection."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
