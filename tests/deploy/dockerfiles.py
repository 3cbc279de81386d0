"""Reads container files as far as the tests need it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.deploy.conftest import ROOT


@dataclass(frozen=True)
class Dockerfile:
    """A container file: its instructions as (NAME, rest), line continuations joined."""

    path: Path
    instructions: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse `path`."""
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
        pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
        return cls(path, tuple((name.upper(), rest) for name, rest in pairs))

    @classmethod
    def of(cls, compose: dict[str, Any], service: str) -> Self | None:
        """The file that a service is built from, None where its image is taken from a registry."""
        build = compose["services"][service].get("build")
        return None if build is None else cls.read(ROOT / build["context"] / build["dockerfile"])

    def has(self, instruction: str) -> bool:
        """Whether the instruction occurs."""
        return any(name == instruction for name, _ in self.instructions)

    def all(self, instruction: str) -> list[str]:
        """What follows each occurrence of an instruction."""
        return [rest for name, rest in self.instructions if name == instruction]

    @property
    def last_stage(self) -> tuple[tuple[str, str], ...]:
        """The instructions of what is shipped."""
        start = max(place for place, (name, _) in enumerate(self.instructions) if name == "FROM")
        return self.instructions[start:]

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the shipped stage sets."""
        words = [word for name, rest in self.last_stage if name == "ENV" for word in shlex.split(rest)]
        return dict(word.split("=", maxsplit=1) for word in words)

    @property
    def copied(self) -> list[str]:
        """Sources copied from the repository."""
        copies = [rest for rest in self.all("COPY") if not rest.startswith("--from")]
        return [source for rest in copies for source in shlex.split(rest)[:-1]]
