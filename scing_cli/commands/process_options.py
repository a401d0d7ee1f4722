"""The options of a training in several processes, for both training commands."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from scing_cli.commands.console import Terminal, debugging
from scing_cli.core.processes.join_group import joined
from scing_cli.core.processes.launch_choice import LaunchChoice
from scing_cli.core.processes.launched_record import begun_run

PANEL = "Several processes"
Command = Callable[..., None]


def _option(name: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=text, metavar=metavar, rich_help_panel=PANEL, show_default=False)


Processes = Annotated[
    str | None, _option("--processes", "Processes on this machine; auto is one for each GPU (default: 1).", "N|auto")
]
Nodes = Annotated[int | None, _option("--nodes", "Machines that train together (default: 1).", "N")]
NodeRank = Annotated[
    int | None, _option("--node-rank", "Number of this machine; machine 0 has the run folder (default: 0).", "N")
]
Rendezvous = Annotated[str | None, _option("--rendezvous", "Where several machines meet: machine 0.", "HOST:PORT")]
MaxRestarts = Annotated[
    int | None, _option("--max-restarts", "Go on by itself, so often, if a process is lost (default: 0).", "N")
]

Compress = Annotated[
    bool | None, _option("--compress-gradients", "Send gradients as bf16: half the traffic, other last digits.")
]


def with_processes(command: Command) -> Command:
    """Return a command with these options: it runs in each process, where its parameter `group` names the others."""
    signature = inspect.signature(command, eval_str=True)
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in (
            ("processes", Processes),
            ("nodes", Nodes),
            ("node_rank", NodeRank),
            ("rendezvous", Rendezvous),
            ("max_restarts", MaxRestarts),
            ("compress", Compress),
        )
    ]
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "group"] + own
    names = {parameter.name for parameter in own}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        choice = LaunchChoice(**{name: values.pop(name) for name in names})
        device = values.get("device", "auto")
        if choice.run(sys.argv[1:], device, Terminal(as_json=False).note):
            return
        begun = begun_run()
        if begun is not None and values.get("resume") is False:  # these processes are started again
            values |= {"resume": None, "run": begun} | ({"name": None} if "name" in values else {})
        with joined(device, quiet=not debugging(), compress=bool(choice.compress)) as group:
            command(group=group, **values)

    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(run)["__signature__"] = signature.replace(parameters=parameters)  # Typer reads it
    return run
