"""The command line.

The rules of this terminal:

1. Results go to stdout, everything else (progress, questions, what to do next) to stderr, so that
   ``stayput … > file`` has the result and nothing else.
2. An error is ``stayput: error: …`` and, where something can be done, ``hint: …``.  Never a
   traceback for what a person, a peer or a file did.
3. Exit codes: 0 done; 1 it failed, or what was checked does not stand; 2 the command line itself is
   wrong; 130 interrupted.
4. Wherever a table is printed, ``--json`` prints the same for programs.
5. What takes longer than a second says so, on stderr.
6. No colours and no wrapping where stdout is no terminal.
7. What others wrote (peers, files, logs) is shown with its control characters made visible.

Which party a command speaks for is its home folder: ``--home``, else ``STAYPUT_HOME``, else
``.stayput``.  Commands import what they need when they run, so ``--help`` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from stayput import __version__
from stayput.cli import (
    auditing,
    authority,
    checking,
    consortium,
    demonstration,
    history,
    holder,
    node,
    persons,
    runs,
    scenarios,
    sources,
)
from stayput.cli.terminal import complain
from stayput.errors import ScenarioError, SqlError, StayputError

INTERRUPTED = 130
"""What shells say of a program that Ctrl-C ended."""

_USAGE_ERROR = typer.BadParameter.__mro__[1]  # typer brings its own click, or none: ask its class

app = typer.Typer(
    name="stayput",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for module in (
    consortium,
    sources,
    scenarios,
    holder,
    node,
    authority,
    persons,
    runs,
    checking,
    history,
    auditing,
    demonstration,
):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stayput {__version__}")
        raise typer.Exit


@app.callback()
def _stayput(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Organisations answer a question together; their rows stay where they are.

    \b
    See it work:       stayput demo
    Join:              init, card, consortium form, join, members, start
    Have data:         source, pending, report, approve, refuse, revoke, node
    Authorise:         pending, report, authority
    Sign as a person:  reviewer, checker
    Ask:               scenario, rehearse, run, result
    Check:             checker reasons
    Verify:            verify, log, audit, wire
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code.

    Args:
        arguments: the words after ``stayput``; those of this process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = app(args=words, prog_name="stayput", standalone_mode=False)
        sys.stdout.flush()
    except StayputError as error:
        complain(_located(error), error.hint)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be flushed into the pipe at exit.
        sys.stdout = None
        return 1
    except OSError as error:  # a folder that may not be entered, a disk that is full
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        return 1
    except _USAGE_ERROR as error:  # type: ignore[misc]
        path = error.ctx.command_path if getattr(error, "ctx", None) else "stayput"
        complain(error.format_message(), f"`{path} --help` shows what it takes")
        return 2
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code, or lets it through
        complain("interrupted")
    return code if isinstance(code, int) else 0


def _located(error: StayputError) -> str:
    """The message with its place, where it has one."""
    if not isinstance(error, ScenarioError | SqlError) or not error.line:
        return error.message
    if error.message.startswith("line "):  # says so itself
        return error.message
    return f"line {error.line}, column {error.column}: {error.message}"
