"""`dewpoint control`: a set-point for the edge workers of a site, and what they say to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from services.budgets import BUDGETS
from services.cli.common import Config, Json, app, fail, must_be_writable, out, plain_errors, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from services.cli.set_points import Answer
    from services.messages import Control

_NAMES: Final = ", ".join(BUDGETS)


@app.command()
@plain_errors
def control(
    point: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Hold this point of the bundle's calibrated path.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE",
            help=f"Keep a budget, of each worker: {_NAMES}.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For this network alone (the name of its bundle), of workers that run several; else for all of them.",
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Clear the set-point: each worker's settings hold again.")] = (
        False
    ),
    show: Annotated[bool, typer.Option("--show", help="Only tell what the workers follow; so without any option.")] = (
        False
    ),
    timeout_s: Annotated[
        float, typer.Option("--wait", min=0.1, max=600, metavar="SECONDS", help="How long workers may take to answer.")
    ] = 10.0,
    config: Config = None,
    site: Annotated[str | None, typer.Option(help="The site's name.")] = None,
    host: Annotated[str | None, typer.Option(help="The MQTT broker's name or address.")] = None,
    port: Annotated[int | None, typer.Option(help="The MQTT broker's TCP port.")] = None,
    json_path: Json = None,
) -> None:
    """Tell the edge workers of a site where their exits stand, and show what each says to it.

    The set-point is retained: workers that start later follow it too.

    Examples: `dewpoint control --budget escalated_share=0.2`, `dewpoint control --point 34`,
    `dewpoint control --reset`, `dewpoint control --show`, `dewpoint control --network har --point 20`

    The exit status is 1 if a worker refused the set-point or did not answer.
    """
    from services import settings
    from services.cli import set_points
    from services.common import logs
    from services.settings import LogSettings

    must_be_writable(json_path)
    if (point is not None) + (budget is not None) + reset + show > 1:
        fail("take one of --point, --budget, --reset and --show")
    wanted = _wanted(point, budget)
    loaded = settings.load(config, {"site": {"name": site}, "mqtt": {"host": host, "port": port}})
    logs.configure(LogSettings(level="error"))
    if wanted is None and not reset:
        answers = set_points.present(loaded)
    else:
        answers = set_points.send(loaded, wanted, timeout_s=timeout_s, network=network)
    if answers:
        out.print(_table(answers))
    else:
        whom = "" if network is None else f" that runs {network} beside other networks"
        out.print(f"no worker of the site {loaded.site.name}{whom} has told of itself yet", highlight=False)
    set_point = None if wanted is None else wanted.to_json()
    workers = [answer.to_json() for answer in answers]
    write_json(json_path, {"site": loaded.site.name, "set_point": set_point, "workers": workers})
    if any(answer.outcome in ("refused", "silent") for answer in answers):
        raise typer.Exit(1)


def _wanted(point: int | None, budget: str | None) -> Control | None:
    from services.messages import Budget, Control

    if point is not None:
        return Control(mode="fixed", point=point)
    if budget is None:
        return None
    name, _, value = budget.partition("=")
    try:
        amount = float(value)
    except ValueError:
        amount = -1.0
    if name not in BUDGETS or not 0 <= amount < float("inf"):
        fail(f"budget {budget!r}: write NAME=VALUE, such as escalated_share=0.2; names are {_NAMES}")
    return Control(mode="budget", budget=Budget(name, amount))


def _table(answers: Sequence[Answer]) -> Table:
    from rich.table import Table

    table = Table("worker", "answer", "follows", "position", "measured", "note", box=None, pad_edge=False)
    for answer in answers:
        told: dict[str, Any] = dict(answer.control or {})
        calibrated = "" if told.get("calibrated", True) else "not calibrated here"
        notes = (str(told.get("refused") or ""), str(told.get("error") or ""), calibrated)
        table.add_row(
            answer.worker if answer.network is None else f"{answer.worker} {answer.network}",
            answer.outcome or "",
            _follows(told),
            _figure(told.get("position")),
            _figure(told.get("measured")),
            "; ".join(note for note in notes if note),
        )
    return table


def _follows(told: dict[str, Any]) -> str:
    budget = told.get("budget")
    if isinstance(budget, dict):
        what = f"{budget.get('name')}={_figure(budget.get('value'))}"
    elif told.get("point") is not None:
        what = f"point {told['point']}"
    else:
        return ""
    return f"{what} (its settings)" if told.get("source") == "settings" else what


def _figure(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else ""
