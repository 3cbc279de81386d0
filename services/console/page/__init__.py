"""What the browser shows: one small file for each part of the page. The numbers come from `services.console.state`."""

from services.console.page.build import page_app
from services.console.page.desk import Desk

__all__ = ["Desk", "page_app"]
