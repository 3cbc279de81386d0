"""A broker with an access list, the same for everybody."""

from __future__ import annotations

from pathlib import Path

from services.servers import MosquittoBroker


class Guarded(MosquittoBroker):
    """Mosquitto that lets anybody do what its rules say, as `topic write a/b`, and nothing else."""

    def __init__(self, folder: Path, *rules: str) -> None:
        super().__init__(folder)
        self._rules = list(rules)

    def allow(self, rule: str) -> None:
        """Start again with one more rule."""
        self.stop()
        self._rules.append(rule)
        self.start()

    def _command(self) -> list[str]:
        command = super()._command()
        access = self.folder / "access.list"
        access.write_text("\n".join(self._rules) + "\n")
        access.chmod(0o600)
        with Path(command[-1]).open("a") as config:
            config.write(f"acl_file {access}\n")
        return command
