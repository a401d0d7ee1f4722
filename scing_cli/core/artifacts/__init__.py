"""Everything on disk: names, stamps, digests, atomic writes, run folders."""

from scing_cli.core.artifacts.files import (
    FORMAT,
    cache_folder,
    csv_text,
    file_digest,
    read_json,
    replacing,
    text_digest,
    write_json,
    write_text,
)
from scing_cli.core.artifacts.run import (
    STAMP,
    VISUAL_REMEDY,
    Run,
    check_free,
    choose_run,
    create_run,
    fresh_folder,
    kept_if_begun,
    open_run,
    update_run,
)
from scing_cli.core.artifacts.verified import checked_once

__all__ = [
    "FORMAT",
    "STAMP",
    "VISUAL_REMEDY",
    "Run",
    "cache_folder",
    "check_free",
    "checked_once",
    "choose_run",
    "create_run",
    "csv_text",
    "file_digest",
    "fresh_folder",
    "kept_if_begun",
    "open_run",
    "read_json",
    "replacing",
    "text_digest",
    "update_run",
    "write_json",
    "write_text",
]
