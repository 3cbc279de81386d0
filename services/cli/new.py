"""The command `dewpoint new`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import Json, app, fail, must_be_writable, out, plain_errors, write_json

if TYPE_CHECKING:
    from services.sites.plan import Kind


@app.command()
@plain_errors
def new(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="The site's folder: new, or empty.")],
    images: Annotated[bool, typer.Option("--images", help="Devices publish picture files.")] = False,
    sensors: Annotated[bool, typer.Option("--sensors", help="Devices publish readings as JSON.")] = False,
    home_assistant: Annotated[
        bool, typer.Option("--home-assistant", help="Labels as sensors of Home Assistant, too.")
    ] = False,
    bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="The network; a shipped one of that kind if unset.")
    ] = None,
    site: Annotated[str | None, typer.Option(metavar="NAME", help="The site's name; the host's if unset.")] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A device that gets an account; may be given several times."),
    ] = None,
    json_path: Json = None,
) -> None:
    """Write a site: settings, systemd units, broker and Redis with accounts, Prometheus targets, and what to do next.

    Example: `dewpoint new hall-3 --images --bundle parts.dew`

    What can be found out is not asked: host name, free ports, cores, programs, whether systemd is there. Passwords and
    certificates are made; none is shown. Nothing is started, and nothing outside of PATH is changed.
    """
    from services.sites import SiteWish, plan_site, write_site
    from services.sites.facts import find_facts

    if images and sensors:
        fail(
            "--images and --sensors exclude each other: an edge worker runs one network; write a second site beside it"
        )
    must_be_writable(json_path)
    kind: Kind | None = "images" if images else "sensors" if sensors else None
    wish = SiteWish(folder, kind, bundle, site, tuple(device or ()), home_assistant)
    plan = plan_site(wish, find_facts())
    written = write_site(plan)
    out.print(
        f"{written.folder}: site {plan.site}, network {plan.bundle}", markup=False, highlight=False, soft_wrap=True
    )
    for name in written.files:
        out.print(f"  {name}", markup=False, highlight=False)
    out.print(f"\nNext ({written.folder}/README.md says more):", markup=False, highlight=False, soft_wrap=True)
    for command in written.next_commands:
        out.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    figures = {"folder": str(written.folder), "site": plan.site, "files": list(written.files)}
    write_json(json_path, figures | {"next": list(written.next_commands)})
