"""A site's files, written anew: settings, systemd units, configurations of its servers, accounts, and what to do next.

`files/` holds the servers' configurations as they are shipped (`deploy/` points there), `templates/` the rest.
"""

from services.sites.plan import PlanError, SiteWish, plan_site
from services.sites.write import WrittenSite, write_site

__all__ = ["PlanError", "SiteWish", "WrittenSite", "plan_site", "write_site"]
