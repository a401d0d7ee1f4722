"""The class of every command: an option that takes one value may be given once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

from scing_cli.core.errors import SettingError

REMEDY = "It takes one value: leave out what does not apply."


class OnceCommand(TyperCommand):
    """A command that refuses an option given twice; otherwise the last value would replace the first silently."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options.

        Raises:
            SettingError: If an option that takes one value was given twice, or a flag both on and off.
        """
        given = list(args)  # the parser removes what it reads
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            self._check_once(ctx, given)
        return rest

    def _check_once(self, ctx: Any, given: Sequence[str]) -> None:
        _, _, order = self.make_parser(ctx).parse_args(args=list(given))
        counts: Counter[Any] = Counter(order)
        for param in (param for param, times in counts.items() if times > 1 and not may_repeat(param)):
            if not param.is_flag:
                raise SettingError(f"{' (or '.join(param.opts)}{')' * (len(param.opts) - 1)} was given twice.", REMEDY)
            on, off = param.opts[0], (*param.secondary_opts, "")[0]
            if on in given and off in given:
                raise SettingError(f"{on} and {off} were both given.", "Leave out one of the two.")


def may_repeat(param: Any) -> bool:
    """Return whether a parameter of a command may be given several times."""
    return param.param_type_name != "option" or bool(param.multiple or param.count)
