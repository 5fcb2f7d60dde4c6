"""Databases that another release migrated."""

from .service import connected


async def set_schema_version(database_url: str, revision: str, oldest_code: int) -> None:
    """Write what the migrations of another release would have written."""
    async with connected(database_url) as sql:
        await sql.execute("UPDATE alembic_version SET version_num = $1", revision)
        await sql.execute("UPDATE schema_compatibility SET oldest_code = $1", oldest_code)
