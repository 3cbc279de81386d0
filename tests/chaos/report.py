"""What a run found, as plain data and in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.chaos.books import Balance

_KEYS_SHOWN = 10


def figures(
    balance: Balance, *, dead_letters: int, events: Mapping[str, int], seconds: float, more: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of a run. Counts, but for `finals_by_reason` and `events` (by kind) and lists of the first keys."""
    return {
        "samples": balance.samples,
        "finals": balance.finals,
        "rejected": balance.rejected,
        "lost": len(balance.lost),
        "conflicting_finals": len(balance.conflicting),
        "repeated_finals": balance.repeated_finals,
        "dead_letters": dead_letters,
        "finals_by_reason": balance.finals_by_reason,
        "events": dict(sorted(events.items())),
        "seconds": round(seconds, 1),
        "faults": sum(events.values()),
        "provisionals": balance.provisionals,
        "hard_answered_share": balance.hard_answered_share,
        "unexpected_finals": len(balance.unexpected_finals),
        "unexpected_rejections": balance.unexpected_rejections,
        "first_keys": {
            "lost": balance.lost[:_KEYS_SHOWN],
            "conflicting": balance.conflicting[:_KEYS_SHOWN],
            "unexpected": balance.unexpected_finals[:_KEYS_SHOWN],
        },
        **more,
    }


def broken_promises(found: Mapping[str, Any]) -> list[str]:
    """What must be 0 and is not, a phrase each."""
    names = ("lost", "conflicting_finals", "unexpected_finals", "unexpected_rejections")
    return [f"{name.replace('_', ' ')}: {found[name]}" for name in names if found[name]]


def lines(found: Mapping[str, Any]) -> str:
    """For a person."""
    share = found["hard_answered_share"]
    answered = "no hard samples" if share is None else f"{share:.1%} of the hard samples answered by the cloud"
    told = [
        f"{found['samples']:,} samples in {found['seconds']:,.0f} s under {found['faults']} faults:"
        f" {found['finals']:,} finals, {found['rejected']} rejected",
        f"lost {found['lost']}, conflicting finals {found['conflicting_finals']},"
        f" repeated finals {found['repeated_finals']}, dead letters {found['dead_letters']}; {answered}",
        "finals: " + ", ".join(f"{reason} {count:,}" for reason, count in found["finals_by_reason"].items()),
        "faults: " + ", ".join(f"{kind} {count}" for kind, count in found["events"].items()),
    ]
    return "\n".join([*told, *(f"BROKEN {one}" for one in broken_promises(found))])
