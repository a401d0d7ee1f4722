"""Files on disk: run folders, stamps, digests, atomic writes, locks."""

from scing_cli.core.artifacts.branch import branch_run
from scing_cli.core.artifacts.checksum import FORMAT, checked_json, text_digest, with_checksum
from scing_cli.core.artifacts.decoded_images import DecodedImages
from scing_cli.core.artifacts.file_check import check_content
from scing_cli.core.artifacts.file_lock import acquire_lock, lock_holder, release_lock
from scing_cli.core.artifacts.files import (
    cache_folder,
    checked_once,
    csv_text,
    file_digest,
    home_folder,
    json_text,
    read_json,
    replacing,
    write_json,
    write_text,
)
from scing_cli.core.artifacts.provenance import check_provenance, run_id
from scing_cli.core.artifacts.run import (
    BRANCHED,
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

__all__ = [
    "BRANCHED",
    "FORMAT",
    "REPORT_KIND",
    "RUNS",
    "STAGES",
    "STAMP",
    "VISUAL_REMEDY",
    "DecodedImages",
    "Run",
    "acquire_lock",
    "branch_run",
    "cache_folder",
    "check_content",
    "check_free",
    "check_provenance",
    "checked_json",
    "checked_once",
    "choose_run",
    "create_run",
    "csv_text",
    "file_digest",
    "fresh_folders",
    "home_folder",
    "json_text",
    "lock_holder",
    "open_run",
    "read_json",
    "release_lock",
    "replacing",
    "run_id",
    "text_digest",
    "update_run",
    "versions",
    "with_checksum",
    "write_json",
    "write_text",
]
