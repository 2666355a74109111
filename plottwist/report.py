"""The numbers that stand in README.md, written there from the recorded results and from nowhere else."""

from __future__ import annotations

from plottwist import claims, files, profiles, results
from plottwist.paths import RESULTS, ROOT

_BEGIN, _END = "<!-- {}: begin (written by `plottwist record`) -->", "<!-- {}: end -->"


def write_readme() -> None:
    """Bring the tables of README.md up to date: claims, and time and memory of every notebook."""
    recorded = {name: results.load(RESULTS / name) for name in profiles.names()}
    for name, table in {"claims": claims_table(recorded), "runtimes": runtime_table(recorded)}.items():
        files.insert(ROOT / "README.md", _BEGIN.format(name), _END.format(name), table)


def claims_table(recorded: dict[str, dict[str, dict]]) -> str:
    """Every claim with its status, number and test, as Markdown."""
    lines = ["| claim | source | status | number [95% CI] | test |", "|---|---|---|---|---|"]
    for verdict in claims.judge_all(recorded):
        row = verdict.row()
        lines.append(f"| {_cell(row['statement'])} | {_cell(row['source'])} | **{row['status']}** | {number(row)} | {row['test']} |")
    return "\n".join(lines)


def runtime_table(recorded: dict[str, dict[str, dict]]) -> str:
    """Minutes and peak memory of every notebook in every recorded profile, as Markdown."""
    known = {profile: made for profile, made in recorded.items() if made}
    lines = ["| notebook | " + " | ".join(known) + " |", "|---|" + "---|" * len(known)]
    for notebook in sorted({n for made in known.values() for n in made}):
        cells = [_cost(made[notebook]["provenance"]) if notebook in made else "–" for made in known.values()]
        lines.append(f"| {notebook} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(row: dict) -> str:
    """Value with its interval and n, or a dash."""
    if row["value"] is None:
        return "–"
    interval = "" if row["low"] is None else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['value']:.2f}{interval}" + (f", n = {row['n']}" if row["n"] else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _cost(provenance: dict) -> str:
    return f"{provenance['seconds'] / 60:.1f} min, {provenance['peak_memory_mb'] / 1024:.1f} GB"
