"""The numbers that stand in README.md, written there from the recorded results and from nowhere else."""

from __future__ import annotations

from plottwist import claims, files, profiles, results
from plottwist.paths import RESULTS, ROOT

_STATUSES = ("reproduced", "partly", "not reproduced", "not run")
_BEGIN, _END = "<!-- {}: begin (written by `plottwist record`) -->", "<!-- {}: end -->"


def write_readme() -> None:
    """Bring the tables of README.md up to date: claims, and time and memory of every notebook."""
    recorded = {name: results.load(RESULTS / name) for name in profiles.names()}
    for name, table in {"claims": claims_table(recorded), "runtimes": runtime_table(recorded)}.items():
        files.insert(ROOT / "README.md", _BEGIN.format(name), _END.format(name), table)


def claims_table(recorded: dict[str, dict[str, dict]]) -> str:
    """How the claims of each paper fared, and under it, folded, every claim with its status, number and test, as Markdown."""
    groups: dict[str, list[claims.Verdict]] = {}
    for verdict in sorted(claims.judge_all(recorded), key=lambda v: v.claim.paper == "this repository"):  # the papers' own first
        groups.setdefault(verdict.claim.paper, []).append(verdict)
    heads = ["claims of", *_STATUSES, "amended"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---|" * (len(heads) - 1)]
    for paper, verdicts in groups.items():
        counts = [sum(v.status.split(" (")[0] == status for v in verdicts) for status in _STATUSES]
        lines.append(f"| {paper} | " + " | ".join(map(str, [*counts, sum(v.amended for v in verdicts)])) + " |")
    for paper, verdicts in groups.items():
        lines += ["", f"<details><summary>{paper}: {len(verdicts)} claims</summary>", "", *_table(verdicts), "", "</details>"]
    return "\n".join(lines)


def _table(verdicts: list[claims.Verdict]) -> list[str]:
    lines = ["| claim | source | status | number [95% CI] | test |", "|---|---|---|---|---|"]
    for row in (v.row() for v in verdicts):
        lines.append(f"| {_cell(row['statement'])} | {_cell(row['source'])} | **{row['status']}** | {number(row)} | {row['test']} |")
    return lines


def runtime_table(recorded: dict[str, dict[str, dict]]) -> str:
    """Minutes and peak memory of every notebook in every recorded profile, as Markdown."""
    known = {profile: made for profile, made in recorded.items() if made}
    lines = ["| notebook | " + " | ".join(known) + " |", "|---|" + "---|" * len(known)]
    for notebook in sorted({n for made in known.values() for n in made}):
        cells = [_cost(made[notebook]["provenance"]) if notebook in made else "–" for made in known.values()]
        lines.append(f"| {notebook} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(row: dict) -> str:
    """Value with its interval and n, or a dash; with a third decimal where two would hide most of the interval."""
    if row["value"] is None:
        return "–"
    if row["low"] is None:
        return f"{row['value']:.2f}" + (f", n = {row['n']}" if row["n"] else "")
    decimals = 2 if row["high"] - row["low"] >= 0.05 else 3
    value, low, high = (f"{row[key]:.{decimals}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" + (f", n = {row['n']}" if row["n"] else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _cost(provenance: dict) -> str:
    seeds = provenance.get("parameters", {}).get("seeds", 1)
    return f"{provenance['seconds'] / 60:.1f} min, {provenance['peak_memory_mb'] / 1024:.1f} GB" + (
        f" ({seeds} seeds)" if seeds > 1 else ""
    )
