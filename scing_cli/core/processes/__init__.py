"""The processes that take the steps of one training together: each encodes its share, all see the whole batch."""

from scing_cli.core.processes.process_group import ALONE, ProcessGroup
from scing_cli.core.processes.share import WHOLE, Share

__all__ = ["ALONE", "WHOLE", "ProcessGroup", "Share"]
