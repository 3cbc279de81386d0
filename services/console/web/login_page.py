"""The form that asks for the token: plain HTML, so that a stranger is served nothing else."""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["login_page"]

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Dewpoint</title>
<link rel="icon" href="data:,">
<style>
:root {{ font: 16px/1.5 system-ui, sans-serif; color-scheme: light dark; }}
body {{ min-height: 100vh; margin: 0; display: grid; place-items: center; background: light-dark(#f5f6f7, #101418); }}
form {{ display: grid; gap: .75rem; width: min(20rem, 90vw); }}
h1 {{ font-size: 1.25rem; margin: 0; }}
input, button {{ font: inherit; padding: .5rem .75rem; border-radius: 6px; border: 1px solid #8a949e; }}
button {{ background: #1f6fb2; border-color: #1f6fb2; color: #fff; cursor: pointer; }}
:focus-visible {{ outline: 2px solid #1f6fb2; outline-offset: 2px; }}
p {{ margin: 0; color: light-dark(#a32626, #ff9c94); }}
</style>
</head>
<body>
<form method="post" action="/login">
<h1>Dewpoint</h1>
<label for="token">Token of this console</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Open</button>
<p role="alert">{problem}</p>
</form>
</body>
</html>
"""


def login_page(problem: str = "") -> str:
    """The form, with what was wrong the last time."""
    return _PAGE.format(problem=escape(problem))
