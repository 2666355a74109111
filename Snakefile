# One rule per notebook. `plottwist reproduce` calls this; on a cluster call it yourself:
#   snakemake --config profile=paper --executor slurm --jobs 8
import sys
from pathlib import Path

from plottwist import artifacts, dag, paths, profiles, reproduce

PROFILE = str(config.get("profile", "cpu"))
SETTINGS = profiles.load(PROFILE)
SEED, SEEDS = int(config.get("seed", 0)), int(config.get("seeds", 1))
OUT = Path(config.get("out", paths.BUILD)).resolve()
RESULTS = OUT / "results" / SETTINGS.name
ARTIFACTS = OUT / "artifacts" / SETTINGS.name
PLOTTWIST = f"{sys.executable} -m plottwist"
NOTEBOOKS = dag.notebooks()


def needs(name):
    """Results and artifacts that a notebook asks for in its metadata."""
    declared = dag.declared(NOTEBOOKS[name])
    others = NOTEBOOKS.keys() - {name} if declared.needs == ("*",) else declared.needs
    return [str(RESULTS / f"{dag.find(n)}.json") for n in sorted(others)] + [done(a) for a in declared.artifacts]


def done(artifact):
    return str(ARTIFACTS / artifact / f"seed{SEED}" / "done")


rule all:
    input:
        expand(str(RESULTS / "{name}.json"), name=NOTEBOOKS),


# What several notebooks train alike is trained once.
for artifact in artifacts.ARTIFACTS:

    rule:
        name:
            f"artifact_{artifact}"
        input:
            artifacts.inputs(artifact),
            [done(needed) for needed in artifacts.ARTIFACTS[artifact].needs],
        output:
            done(artifact),
        params:
            settings=artifacts.settings(SETTINGS, [], [artifact, *artifacts.ARTIFACTS[artifact].needs]),
            call=f"{PLOTTWIST} artifact {artifact} --profile '{PROFILE}' --seed {SEED} --out '{OUT}'",
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
        params:
            settings=artifacts.settings(SETTINGS, dag.declared(path).sections, dag.declared(path).artifacts),
            call=f"{PLOTTWIST} run {name} --profile '{PROFILE}' --out '{OUT}' " + " ".join(f"-p {k}={v}" for k, v in values.items()),
        threads: SETTINGS.threads
        shell:
            "{params.call}"
