# One rule per notebook. `plottwist reproduce` calls this; on a cluster call it yourself:
#   snakemake --config profile=paper --executor slurm --jobs 8
import itertools
import sys
from pathlib import Path
from shlex import quote

from plottwist import artifacts, dag, paths, profiles, reproduce, results

PROFILE = str(config.get("profile", "cpu"))
SETTINGS = profiles.load(PROFILE)
SEED, SEEDS = int(config.get("seed", 0)), int(config.get("seeds", 1))
OUT = Path(config.get("out", paths.BUILD)).resolve()
RESULTS = OUT / "results" / SETTINGS.name
ARTIFACTS = OUT / "artifacts" / SETTINGS.name
PLOTTWIST = f"{quote(sys.executable)} -m plottwist"
NOTEBOOKS = dag.notebooks()
SECONDS = {name: int(made["provenance"]["seconds"]) for name, made in results.load(paths.RESULTS / SETTINGS.name).items()}


def needs(name):
    """Results and artifacts that a notebook asks for in its metadata."""
    declared = dag.declared(NOTEBOOKS[name])
    others = NOTEBOOKS.keys() - {name} if declared.needs == ("*",) else declared.needs
    own = [done(a, s) for a in declared.artifacts for s in (range(SEED, SEED + SEEDS) if a in declared.repeated else [SEED])]
    return [str(RESULTS / f"{dag.find(n)}.json") for n in sorted(others)] + own


def done(artifact, seed):
    return str(ARTIFACTS / artifact / f"seed{seed}" / "done")


rule all:
    input:
        expand(str(RESULTS / "{name}.json"), name=NOTEBOOKS),


# What several notebooks train alike is trained once, and first; then the notebook that took longest when it was recorded, so that no
# core is left alone with it at the end.
for artifact, seed in itertools.product(artifacts.ARTIFACTS, range(SEED, SEED + SEEDS)):

    rule:
        name:
            f"artifact_{artifact}_seed{seed}"
        input:
            artifacts.inputs(artifact, PROFILE),
            [done(needed, seed) for needed in artifacts.ARTIFACTS[artifact].needs],
        output:
            done(artifact, seed),
        priority: max(SECONDS.values(), default=0) + 1
        params:
            settings=artifacts.settings(SETTINGS, [], [artifact, *artifacts.ARTIFACTS[artifact].needs]),
            call=f"{PLOTTWIST} artifact {artifact} --profile {quote(PROFILE)} --seed {seed} --out {quote(str(OUT))}",
        threads: SETTINGS.threads
        shell:
            "{params.call}"


# The call stands in params: Snakemake expands `shell` after the loop has ended. The settings stand there too: a key of the profile
# that changes runs again what uses its section, and nothing else.
for name, path in NOTEBOOKS.items():
    values = {"SEED": SEED} | ({"SEEDS": SEEDS} if "SEEDS" in reproduce.parameters_of(path) else {})

    rule:
        name:
            f"notebook_{name}"
        input:
            dag.inputs(path, PROFILE),
            needs(name),
        output:
            str(RESULTS / f"{name}.json"),
        priority: SECONDS.get(name, 0)
        params:
            settings=artifacts.settings(SETTINGS, dag.declared(path).sections, dag.declared(path).artifacts),
            call=f"{PLOTTWIST} run {name} --profile {quote(PROFILE)} --out {quote(str(OUT))} " + " ".join(f"-p {k}={v}" for k, v in values.items()),
        threads: SETTINGS.threads
        shell:
            "{params.call}"
