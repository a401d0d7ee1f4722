"""Everything on disk: names, stamps, digests, atomic writes, run folders."""

from scing_cli.core.artifacts.checksum import FORMAT, sealed, text_digest, unsealed
from scing_cli.core.artifacts.file_lock import holder_of, let_go, take_lock
from scing_cli.core.artifacts.files import (
    cache_folder,
    csv_text,
    file_digest,
    json_text,
    read_json,
    replacing,
    write_json,
    write_text,
)
from scing_cli.core.artifacts.provenance import check_belongs, stage_mark
from scing_cli.core.artifacts.run import (
    REPORT_KIND,
    RUNS,
    STAGES,
    STAMP,
    VISUAL_REMEDY,
    Run,
    check_free,
    choose_run,
    create_run,
    fresh_folders,
    open_run,
    update_run,
    versions,
)
from scing_cli.core.artifacts.verified import checked_once

__all__ = [
    "FORMAT",
    "REPORT_KIND",
    "RUNS",
    "STAGES",
    "STAMP",
    "VISUAL_REMEDY",
    "Run",
    "cache_folder",
    "check_belongs",
    "check_free",
    "checked_once",
    "choose_run",
    "create_run",
    "csv_text",
    "file_digest",
    "fresh_folders",
    "holder_of",
    "json_text",
    "let_go",
    "open_run",
    "read_json",
    "replacing",
    "sealed",
    "stage_mark",
    "take_lock",
    "text_digest",
    "unsealed",
    "update_run",
    "versions",
    "write_json",
    "write_text",
]
