"""The ``harness`` command: finds subcommands, and turns a user's mistake into one sentence and exit status 2."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from harness.errors import UserError

UNUSABLE_INPUT = 2
SOME_FAILED = 3
INTERRUPTED = 130

COMMANDS = {
    "list": "harness.cli.list_command:list_command",
    "check": "harness.cli.check_command:check_command",
    "plan": "harness.cli.plan_command:plan_command",
    "run": "harness.cli.run_command:run_command",
    "status": "harness.cli.status_command:status_command",
    "cancel": "harness.cli.cancel_command:cancel_command",
    "profile": "harness.cli.profile_command:profile_command",
    "tensorboard": "harness.cli.tensorboard_command:tensorboard_command",
    "doctor": "harness.cli.doctor_command:doctor_command",
}
ENTRY_POINTS = "harness.commands"


class _Commands(click.Group):
    """Subcommands that are imported when they are needed; other rooms bring theirs through entry points."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(self._plugged_in())]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module, _, attribute = COMMANDS[name].partition(":")
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
        entry = self._plugged_in().get(name)
        return entry.load() if entry is not None else None

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        if arguments and self.get_command(context, arguments[0]) is None and not arguments[0].startswith("-"):
            from harness.errors import listed, nearest

            known = self.list_commands(context)
            raise UserError(f"no command '{arguments[0]}'{nearest(arguments[0], known)} (known: {listed(known)})")
        return super().resolve_command(context, arguments)

    @staticmethod
    def _plugged_in() -> dict[str, Any]:
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Check the claims of papers: plan and run experiments, and report a verdict with an interval for each claim.

    SPEC is an experiment's name (see 'harness list') or the path of a YAML file. Exit status: 0 done, 2 unusable
    input, 3 finished but some trials failed, 4 verification found a difference, 130 interrupted.
    """


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        status = cli.main(standalone_mode=False)
    except UserError as error:
        print(f"harness: {error}", file=sys.stderr)
        status = UNUSABLE_INPUT
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        status = 0
    except click.exceptions.Abort:
        status = INTERRUPTED
    except click.ClickException as error:
        print(f"harness: {error.format_message()}", file=sys.stderr)
        status = UNUSABLE_INPUT
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, 'head' perhaps, has had enough.
        sys.stderr.close()
        status = 0
    _account()
    sys.exit(status if isinstance(status, int) else 0)


def _account() -> None:
    """Add this command to the account of a ``make reproduce``, and say with the report what the whole came to."""
    from harness.execution.account import VARIABLE, account, note_command

    if os.environ.get(VARIABLE):
        command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
        note_command(command)
        if command == "report":
            print(account())
