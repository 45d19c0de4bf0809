"""The `retake` command: its subcommands, and how failures are shown.

Commands are imported when they run, and import torch only then, so that help is quick.
"""

import difflib
import importlib
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import click

from .options import FLAGS

_COMMANDS = {
    "run": ("retake_cli.run", "Ask questions about a video."),
    "watch": ("retake_cli.watch", "Watch a video once, and keep its memory in a file."),
    "ask": ("retake_cli.ask", "Ask questions of such a file, or chat about the video."),
    "eval": ("retake_cli.evaluate", "Answer a benchmark's questions, and keep the answers."),
    "sweep": ("retake_cli.sweep", "Try methods on a benchmark, at every keep ratio."),
    "compare": ("retake_cli.compare", "Compare runs, question by question."),
    "report": ("retake_cli.report_html", "Show runs or a sweep as one HTML page."),
    "inspect": ("retake_cli.inspect", "Show what methods keep of one video, as one HTML page."),
    "judge": ("retake_cli.judge", "Have a judge mark the answers that only a judge can."),
    "submission": ("retake_cli.submission", "Write what a benchmark's server takes."),
    "bench": ("retake_cli.bench", "Measure times, memory and operations, variants side by side."),
    "list": ("retake_cli.listing", "List selectors, compressors, models and what else there is."),
    "doctor": ("retake_cli.doctor", "Check what works on this machine."),
    "convert": ("retake_cli.convert", "Convert original LLaVA-Video checkpoints."),
    "data": ("retake_cli.data", "Make and list videos with known answers."),
}
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1, cutoff=0.5)
            guess = f" Did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(
                f"There is no command '{args[0]}'.{guess} Commands: {', '.join(_COMMANDS)}.", ctx
            )
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        try:
            click.echo(f"retake {version('retake')}")
        except PackageNotFoundError:
            click.echo("retake (not installed)")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings=_CONTEXT, invoke_without_command=True)
@click.option("--debug", is_flag=True, help="Show tracebacks and what libraries log.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Version."
)
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Ask language models about long videos.

    \b
      retake run clip:NAME                     a bundled clip with its bundled questions
      retake run video.mp4 "What happens?"     your own
      retake watch video.mp4                   watch it once, and keep it in video.retake
      retake ask video.retake                  ask as often as you like
      retake COMMAND -h                        every option of a command
    """
    ctx.obj = {"debug": debug}
    if not debug:
        quiet_libraries()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def quiet_libraries() -> None:
    """Keep other libraries' logging, warnings and progress bars off the terminal.

    Through the environment where they read it, so that nothing is imported for it. Done by
    this process only; `retake` as a library touches nobody's logging.
    """
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is returned, and nothing is raised."""
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    # Wherever it stands on the line, "--debug" belongs to the group.
    words = (["--debug"] if debug else []) + [word for word in words if word != "--debug"]
    try:
        with cli.make_context("retake", words) as ctx:
            cli.invoke(ctx)
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        _say(error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            _say(f"See {error.ctx.command_path} -h.", prefix="")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted", prefix="")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort, which says how to learn more
        return _failed(error, debug)
    return 0


def _failed(error: Exception, debug: bool) -> int:
    """Show a failure: its message where it was written for people, else how to learn more."""
    from retake.core.errors import RetakeError

    if debug:
        traceback.print_exc()
    if isinstance(error, RetakeError):
        _say(in_flags(error.message))
        if error.hint:
            _say(in_flags(error.hint), prefix="")
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f" '{error.filename}'" if error.filename is not None else ""
        _say(f"The system refused{where}: {error.strerror}.")
        return 1
    first = (str(error).strip().splitlines() or [""])[0]
    _say(f"{type(error).__name__}: {first}", prefix="Internal error: ")
    if not debug:
        _say("This is a defect. `retake --debug ...` shows where it came from.", prefix="")
    return 1


def in_flags(text: str) -> str:
    """A message that speaks of Python's arguments, as one that speaks of flags."""
    names = {flag.path.rpartition(".")[2]: flag.names for flag in FLAGS}

    def flag(found: re.Match[str]) -> str:
        known = names.get(found["name"])
        return f"{known} {found['value']}" if known else found[0]

    return re.sub(r"\b(?P<name>\w+)=(?P<q>'?)(?P<value>[\w.]*\w)(?P=q)", flag, text)


def _say(text: str, prefix: str = "Error: ") -> None:
    click.echo(f"{prefix}{text}", err=True)


def run() -> None:
    """The console script."""
    for name in ("SIGTERM", "SIGHUP"):
        # Ended from outside, unwind as for Ctrl-C: no temporary file and no process is left.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    sys.exit(main())


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)
