"""What the page is made of, fetched: from the broker, from the workers' metrics, and of dead letters from Redis."""

from services.console.collect.feed import Feed
from services.console.collect.letters import Letters
from services.console.collect.scraping import Scraper

__all__ = ["Feed", "Letters", "Scraper"]
