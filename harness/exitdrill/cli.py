"""Arguments in, exit code out; no logic. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import gc
import io
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exitdrill import __version__
from exitdrill.errors import DrillStopped, UsageError

if TYPE_CHECKING:
    from exitdrill.drill import Result

EXIT_CODES = """
Exit codes: 0 ready, 1 not ready, 2 usage or invalid input, 3 inconclusive, 4 the drill could not
be completed, 70 a defect of exitdrill's, 130 interrupted.
"""
BROKEN_PIPE = 141  # what a shell reports of any command that SIGPIPE ended
FOLDER = click.Path(path_type=Path)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="exitdrill")
def cli() -> None:
    """Prove that a workload can leave its model provider, by leaving."""


@cli.command()
@click.argument("scenario")
@click.option(
    "--candidate", "candidates", multiple=True, metavar="NAME", help="Only this one (repeatable)."
)
@click.option(
    "--out", type=FOLDER, metavar="DIR", help="Its folder. [reports/<scenario>-<UTC time>]"
)
@click.option("--resume", type=FOLDER, metavar="DIR", help="Continue the drill in this folder.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask the first N cases.")
@click.option(
    "--sequential", is_flag=True, help="Look after each block; end once all gates are decided."
)
@click.option("--quiet", is_flag=True, help="Print only the verdict line.")
def run(
    *,
    scenario: str,
    candidates: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    limit: int | None,
    sequential: bool,
    quiet: bool,
) -> int:
    """Drill SCENARIO: a folder, or the name of a built-in one."""
    from exitdrill import drill, progress
    from exitdrill.scenario import load

    watcher = progress.Silent() if quiet else progress.Terminal()
    result = drill.run(
        load(scenario),
        out=out,
        resume=resume,
        candidates=candidates,
        limit=limit,
        sequential=sequential,
        watcher=watcher,
    )
    _show(result, scenario, quiet)
    return result.exit_code


@cli.command()
@click.argument("scenario")
@click.option(
    "--candidate", "candidates", multiple=True, metavar="NAME", help="Only this one (repeatable)."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask the first N cases.")
@click.option("--sequential", is_flag=True, help="Plan a drill that is looked at while it runs.")
def plan(
    *, scenario: str, candidates: tuple[str, ...], limit: int | None, sequential: bool
) -> None:
    """Show what a drill of SCENARIO asks, may cost, and can tell apart, without any call."""
    from exitdrill import planning
    from exitdrill.drill import chosen
    from exitdrill.drillable import check
    from exitdrill.plan import make_plan
    from exitdrill.scenario import load

    drillable = check(chosen(load(scenario), candidates))
    planned = make_plan(drillable, limit, sequential=sequential)
    for line in planning.lines(drillable, planned):
        _say(_printable(line))


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
def report(folder: Path) -> int:
    """Write the reports of the drill in DIR again, from report.json and cases.jsonl.

    They say so, and are inconclusive (exit code 3), where report.json is not of the plan that was
    registered.
    """
    from exitdrill.report import render
    from exitdrill.report.registered import contradictions

    for path in render(folder):
        _say(path)
    found = contradictions(folder)
    for each in found:
        _say(f"not as registered: {_printable(each)}", err=True)
    return 3 if found else 0


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--arm", metavar="NAME", help="Whose answers. [the incumbent]")
def export(folder: Path, arm: str | None) -> None:
    """Write the answers of the drill in DIR to standard output, in the OpenAI Batch format."""
    from exitdrill.export import batch_lines

    for line in batch_lines(folder, arm):
        _say(line)


@cli.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
def init(folder: Path) -> None:
    """Write a commented scenario to DIR."""
    from exitdrill.starter import write_starter

    for path in write_starter(folder):
        _say(path)
    _say(f"next: exitdrill validate {folder}")


@cli.command()
@click.argument("scenario")
def validate(scenario: str) -> None:
    """Check SCENARIO, its workload and its backends' settings, without any call."""
    from exitdrill.drillable import check
    from exitdrill.plan import make_plan, most, warnings
    from exitdrill.scenario import load
    from exitdrill.sentences import count_of, times

    drillable = check(load(scenario))
    plan = make_plan(drillable)
    spend = most(plan)
    counts = [
        count_of(drillable.workload.size, "case"),
        count_of(len(plan.arms), "arm"),
        count_of(len(drillable.scenario.gates), "gate"),
    ]
    calls = f"makes {count_of(spend.calls, 'call')}"
    does = calls if plan.document["app"] is None else f"runs the app {times(spend.calls)}"
    _say(f"valid: {', '.join(counts)}; a drill {does}")
    for warning in warnings(drillable, plan):
        _say(f"note: {warning}")


@cli.command()
def scenarios() -> None:
    """List the built-in scenarios."""
    from exitdrill import builtin
    from exitdrill.scenario import load

    for name, folder in builtin.scenarios().items():
        _say(f"{name:20} {load(folder).title}")


@cli.command()
def backends() -> None:
    """List the adapters that are installed."""
    from exitdrill.backend import adapters

    for info in adapters():
        _say(f"{info.name:20} {info.problem or info.about}")
        if info.variants:
            _say(f"{'':20} vendors: {', '.join(info.variants)}")


def main() -> None:
    """The command ``exitdrill``."""
    # What a start makes stays: to look for garbage in it again and again, and once more at the
    # end, takes a tenth of a second.
    gc.set_threshold(50_000, 20, 20)
    code = _code()
    gc.freeze()
    sys.exit(code)


def _code() -> int:
    try:
        code: Any = cli(standalone_mode=False, prog_name="exitdrill")
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        error.show(text := io.StringIO())
        _say(text.getvalue().rstrip(), err=True)
        return 2
    except (KeyboardInterrupt, click.Abort) as interrupt:
        # click wraps it; the note, where there is one, says which folder to resume.
        notes = getattr(interrupt.__cause__ or interrupt, "__notes__", [])
        _say("; ".join(["interrupted", *notes]), err=True)
        return 130
    except UsageError as error:
        _say(f"error: {error}", err=True)
        return 2
    except DrillStopped as error:
        _say(f"stopped: {error}", err=True)
        return 4
    except SystemExit:  # so click ends where nobody reads its --help; its code 1 is a verdict's
        return BROKEN_PIPE
    except Exception:
        import traceback

        _say(traceback.format_exc(), err=True)
        _say("This is a defect of exitdrill's; the lines above help to mend it.", err=True)
        return 70
    return code if isinstance(code, int) else 0


def _show(result: Result, scenario: str, quiet: bool) -> None:
    from exitdrill.report import terminal

    if not quiet:
        for line in terminal.lines(result.report):
            _say(_printable(line))
        _say(f"\nreport: {result.folder / 'report.html'}\n")
        if not result.completed:
            command = shlex.join(["exitdrill", "run", scenario, "--resume", str(result.folder)])
            _say(_printable(f"to go on: {command}"))
            _say("")
    _say(_printable(terminal.verdict(result.report)))


def _say(text: object, *, err: bool = False) -> None:
    try:
        click.echo(text, err=err)
    except OSError:
        # Whoever read our output has gone, or its disk is full: no verdict, and no end.
        stream = sys.stderr if err else sys.stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _printable(text: str) -> str:
    """Text that may come from a server, without what could steer a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)
