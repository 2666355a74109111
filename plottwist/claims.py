"""Claims: written down before the run, decided by its numbers, never typed.

``results/claims.yaml`` lists what the papers say and the test that would show it here. A claim's status is computed
from the recorded metrics: on the whole 95% CI (*reproduced*), on the point estimate alone (*partly*), or not. The hash
of every claim is kept when results are first recorded; a claim edited or added afterwards says ``amended`` for good.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.paths import RESULTS

_ADDED = "added after the first record"

Direction = Literal[">=", ">", "<=", "<"]
Scope = Literal["direct", "analogue", "by construction"]


class Test(BaseModel):
    """The inequality that decides a claim, on ``metric`` of the claim's notebook."""

    model_config = ConfigDict(extra="forbid")
    direction: Direction
    threshold: float

    def holds(self, value: float) -> bool:
        match self.direction:
            case ">=":
                return value >= self.threshold
            case ">":
                return value > self.threshold
            case "<=":
                return value <= self.threshold
            case "<":
                return value < self.threshold

    def worst(self, metric: dict[str, Any]) -> float:
        """The end of the CI that speaks against the claim; the value itself where it has no sampling error."""
        if metric["ci"] is None:
            return metric["value"]
        return metric["ci"][0] if self.direction in (">=", ">") else metric["ci"][1]


class Claim(BaseModel):
    """One sentence of a paper (or of this repository) and how it is tested."""

    model_config = ConfigDict(extra="forbid")
    id: str
    source: str
    statement: str
    scope: Scope
    profile: str = "cpu"
    notebook: str
    metric: str
    test: Test
    seeds: int = Field(default=1, ge=1, description="how many seeds the number must rest on")

    @property
    def paper(self) -> str:
        """Whose claim it is: the source up to its first comma or bracket."""
        return re.split(r"[,(]", self.source)[0].strip()

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Verdict:
    """A claim with what became of it."""

    claim: Claim
    status: str
    metric: dict[str, Any] | None
    amended: bool

    def row(self) -> dict[str, Any]:
        metric = self.metric or {"value": None, "ci": None, "n": None, "seeds": None}
        low, high = metric["ci"] or (None, None)
        return {
            "id": self.claim.id,
            "status": self.status + (", amended" if self.amended else ""),
            "value": metric["value"],
            "low": low,
            "high": high,
            "n": metric["n"],
            "seeds": metric["seeds"],
            "test": f"{self.claim.test.direction} {self.claim.test.threshold:g}",
            "profile": self.claim.profile,
            "notebook": self.claim.notebook,
            "source": self.claim.source,
            "statement": self.claim.statement,
        }


def read(path: Path = RESULTS / "claims.yaml") -> list[Claim]:
    """The claims of a file.

    Raises:
        PlotTwistError: unreadable, not YAML, an unknown or missing key, or an id that stands twice.
    """
    try:
        rows = files.read_yaml(path)
        claims = [Claim.model_validate(row) for row in rows]
    except ValidationError as error:
        first = error.errors()[0]
        raise PlotTwistError(f"{path}: claim {_name(rows, error)}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except TypeError as error:
        raise PlotTwistError(f"{path} is not a YAML list of claims: {error}") from error
    ids = [c.id for c in claims]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise PlotTwistError(f"{path}: claim id {', '.join(twice)} stands twice")
    return claims


def judge(claim: Claim, results: dict[str, dict], first_hash: str | None = None) -> Verdict:
    """A claim against the results (notebook name -> result) of its profile; ``first_hash`` as first recorded."""
    metric = results.get(claim.notebook, {}).get("metrics", {}).get(claim.metric)
    amended = first_hash is not None and first_hash != claim.hash
    if metric is None or metric["seeds"] < claim.seeds:
        return Verdict(claim, "not run", metric, amended)
    if claim.test.holds(claim.test.worst(metric)):
        status = "reproduced"
    elif claim.test.holds(metric["value"]):
        status = "partly"
    else:
        status = "not reproduced"
    if claim.scope != "direct":
        status += f" ({claim.scope})"
    return Verdict(claim, status, metric, amended)


def judge_all(results: dict[str, dict[str, dict]], reference: Path = RESULTS) -> list[Verdict]:
    """Every claim against ``results`` (profile -> notebook -> result)."""
    hashes, claims = _first_hashes(reference), read(reference / "claims.yaml")
    late = {p: _recorded(reference / p / "record.json") for p in {c.profile for c in claims}}
    return [judge(c, results.get(c.profile, {}), hashes.get(c.id) or (_ADDED if c.notebook in late[c.profile] else None)) for c in claims]


def remember(profile: str, reference: Path = RESULTS) -> Path:
    """Keep the hash of each claim of a profile the first time the result of its notebook is recorded; one added after that is ``amended``."""
    hashes = _first_hashes(reference)
    before = _recorded(reference / profile / "record.json", last=False)
    for claim in read(reference / "claims.yaml"):
        if claim.profile == profile and (reference / profile / f"{claim.notebook}.json").is_file():
            hashes.setdefault(claim.id, _ADDED if claim.notebook in before else claim.hash)
    path = reference / "claims.lock.json"
    files.write_json(path, hashes)
    return path


def _recorded(log: Path, last: bool = True) -> set[str]:
    """Notebooks that a record's log names; ``last``: with its newest entry."""
    entries = files.read_json(log) if log.is_file() else []
    return {name for entry in (entries if last else entries[:-1]) for name in entry["notebooks"]}


def _first_hashes(reference: Path) -> dict[str, str]:
    path = reference / "claims.lock.json"
    return files.read_json(path) if path.exists() else {}


def _name(rows: list, error: ValidationError) -> str:
    for row in rows:
        try:
            Claim.model_validate(row)
        except ValidationError:
            return str(row.get("id", row)) if isinstance(row, dict) else str(row)
    return error.title
