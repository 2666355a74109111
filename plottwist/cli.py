"""The command line. Every command imports what it needs when it runs, so that help and figures answer at once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from plottwist import files
from plottwist.errors import PlotTwistError
from plottwist.nqd import NQDScores

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Reproducible research on creative story generation."
)
data = typer.Typer(no_args_is_help=True, help="The shipped and the third-party data.")
app.add_typer(data, name="data")
study = typer.Typer(no_args_is_help=True, help="People as judges: blinded sheets, and what their votes say.")
app.add_typer(study, name="study")


def _absolute(profile: str | None) -> str | None:
    """A profile's own file by its whole path: notebooks and artifacts are run in other folders than the command."""
    return str(Path(profile).resolve()) if profile and profile.endswith((".yaml", ".yml")) else profile


ProfileOption = Annotated[str, typer.Option("--profile", callback=_absolute, help="smoke, cpu, public, gpu, paper, or a .yaml file")]
OutOption = Annotated[Path | None, typer.Option("--out", help="build folder [default: build/ of the repository]")]


@app.command()
def reproduce(
    profile: ProfileOption = "cpu",
    only: Annotated[str | None, typer.Option(help="one notebook, by number or name")] = None,
    seed: int = 0,
    seeds: Annotated[int, typer.Option(min=1, help="seeds of the headline experiments")] = 1,
    cores: Annotated[int | None, typer.Option(min=1, help="[default: all]")] = None,
    out: OutOption = None,
) -> None:
    """Run every notebook that is not up to date, then show the claims."""
    from plottwist import reproduce as runner
    from plottwist.paths import BUILD

    code = runner.reproduce(profile, only, seed, seeds, out or BUILD, cores)
    _show_claims(profile, out or BUILD)
    if code:
        raise PlotTwistError("some notebooks failed; their lines stand above, finished ones are kept: mend and run again")


@app.command()
def run(
    notebook: str,
    profile: ProfileOption = "cpu",
    out: OutOption = None,
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, as in the parameters cell")] = None,
) -> None:
    """Run one notebook headlessly, with parameters of its own."""
    from plottwist import reproduce as runner
    from plottwist.paths import BUILD

    runner.run(notebook, profile, out or BUILD, _parameters(parameter or []))


@app.command(hidden=True)
def artifact(name: str, profile: ProfileOption = "cpu", seed: int = 0, out: OutOption = None) -> None:
    """Make one shared artifact of the DAG."""
    from plottwist import artifacts
    from plottwist.paths import BUILD

    artifacts.make(name, profile, seed, out or BUILD)


@app.command()
def claims(profile: ProfileOption = "cpu", out: OutOption = None) -> None:
    """Every claim with its status and number: from the committed results, or from a run's with --out."""
    _show_claims(profile, out)


@app.command()
def verify(
    profile: ProfileOption = "cpu",
    out: OutOption = None,
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="run on another kind of processor: intervals must meet, no more")] = False,
) -> None:
    """Compare a run with the committed results; exit code 1 if anything moved."""
    from plottwist import profiles, results
    from plottwist.paths import BUILD

    profile = profiles.load(profile).name
    moves, compared, otherwise = results.verify(profile, out or BUILD, elsewhere=elsewhere)
    for line in (*otherwise, *moves):
        print(line)
    print(
        f"{compared} metrics of profile {profile}: {len(moves)} moved"
        if moves
        else f"{compared} metrics of profile {profile}: all within tolerance"
    )
    if moves and not elsewhere:
        print("on another kind of processor than the recorded results', training draws anew: plottwist verify --elsewhere")
    if moves:
        raise typer.Exit(1)


@app.command()
def record(
    reason: Annotated[str, typer.Option(help="why the reference changes")],
    profile: ProfileOption = "cpu",
    only: Annotated[str | None, typer.Option(help="one notebook, by number or name")] = None,
    out: OutOption = None,
) -> None:
    """Make a run's results the committed reference (needs a clean tree)."""
    from plottwist import claims as ledger
    from plottwist import dag, profiles, report, results
    from plottwist.paths import BUILD

    profile = profiles.load(profile).name
    ledger.read()  # a broken list of claims is found before anything is written
    written = results.record(profile, reason, out or BUILD, notebooks=[dag.find(only)] if only else None)
    ledger.remember(profile)
    report.write_readme()
    print(f"recorded {len(written)} files under results/{profile}, README.md brought up to date; commit them")


@app.command()
def figures(
    figure: Annotated[str | None, typer.Argument(metavar="[ID]", help="e.g. 00_quickstart.levels; all if left out")] = None,
    profile: ProfileOption = "cpu",
    results: Annotated[Path | None, typer.Option(help="folder with tables/ [default: the committed results of the profile]")] = None,
    out: Annotated[Path | None, typer.Option(help="where the pictures go [default: build/figures/<profile>]")] = None,
) -> None:
    """Redraw figures from stored tables; nothing is trained."""
    from plottwist import figures as drawing
    from plottwist import profiles
    from plottwist.paths import BUILD, RESULTS

    profile = profiles.load(profile).name
    source, target = results or RESULTS / profile, out or BUILD / "figures" / profile
    wanted = [figure] if figure else drawing.available(source)
    if not wanted:
        raise PlotTwistError(f"no tables in {source}; run `plottwist reproduce --profile {profile}` or name a folder with --results")
    for name in wanted:
        drawing.draw(name, source, target)
        print(target / f"{name}.png")


@app.command()
def cost(
    profile: ProfileOption = "paper",
    tflops: Annotated[float, typer.Option(help="peak of one device, bfloat16")] = 989.0,
) -> None:
    """Tokens, GPU-hours and memory of every training and its samples at a profile's size, computed from its settings."""
    from plottwist import cost as computed
    from plottwist import profiles

    rows = computed.table(profiles.load(profile), tflops * 1e12)
    print(rows.to_string(index=False, float_format=lambda number: f"{number:.3g}"))
    print(
        f"total {rows['GPU-hours'].sum():.3g} GPU-hours, at {computed.LEARNING:.0%} of the peak in learning and {computed.SAMPLING:.0%} in sampling"
    )


@app.command()
def report(profile: ProfileOption = "cpu", out: OutOption = None) -> None:
    """Render the executed notebooks and the claims into a static site, build/site/index.html."""
    from plottwist import site
    from plottwist.paths import BUILD

    print(site.build(profile, out or BUILD))


@app.command()
def rate(
    file: Annotated[str, typer.Argument(help="JSON Lines, CSV, or - for JSON Lines on standard input")],
    text_column: Annotated[str, typer.Option(help="the column that holds the text")] = "plot",
    out: Annotated[Path | None, typer.Option(help="JSON Lines; continued if it exists [default: standard output]")] = None,
    model: Annotated[Path | None, typer.Option(help="folder of a reward model [default: the committed one]")] = None,
) -> None:
    """Rate plots on the five dimensions with the reward model."""
    from plottwist.reward import rating

    rating.rate_file(file, text_column, out, model or rating.COMMITTED)


@app.command()
def judge(
    file: Annotated[str, typer.Argument(help="JSON Lines, CSV, or - for JSON Lines on standard input")],
    text_column: Annotated[str, typer.Option(help="the column that holds the text")] = "plot",
    mind: Annotated[
        str, typer.Option(help="analytic (fixed measures), api (PLOTTWIST_API_*), local (--model), replay (recorded)")
    ] = "analytic",
    model: Annotated[str | None, typer.Option(help="folder or Hub id of a chat model, with --mind local")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON Lines, written whole [default: standard output]")] = None,
) -> None:
    """Put plots before the critic panel; one judgement with its evidence per line."""
    from plottwist.evaluation import judging

    judging.judge_file(file, text_column, mind, out, model)


@study.command("make")
def study_make(
    a: Annotated[Path, typer.Argument(help="JSON Lines, one output of the first system a row")],
    b: Annotated[Path, typer.Argument(help="the same items by the second system")],
    out: Annotated[Path, typer.Option(help="folder to hand out, for sheet.csv and page.html; the key is written beside it")],
    kind: Annotated[str, typer.Option(help="ab: side by side; rating: one at a time, 1 to 10")] = "ab",
    text_column: Annotated[str, typer.Option(help="the column that holds the text")] = "plot",
    seed: int = 0,
) -> None:
    """Write a blinded sheet and page of two systems' outputs, and the key apart."""
    from plottwist.evaluation import study as people

    for path in people.make(a, b, out, kind, seed, text_column):
        print(path)


@study.command("read")
def study_read(
    votes: Annotated[list[Path], typer.Argument(help="CSV files: filled sheets, or what the page let voters download")],
    key: Annotated[Path, typer.Option(help="the study's key: FOLDER.key.json")],
) -> None:
    """Win rates or ratings with intervals, ties, agreement; rows that do not count are named."""
    from plottwist.evaluation import study as people

    for line in people.read_votes(votes, key).lines():
        print(line)


@app.command()
def longstory(
    keywords: Annotated[str | None, typer.Option(help="key phrases, parted by commas")] = None,
    premise: Annotated[str | None, typer.Option(help="a sentence or two instead; its key phrases are taken")] = None,
    paragraphs: Annotated[int | None, typer.Option(help="1 to 1000 [default: 8]")] = None,
    seed: Annotated[int | None, typer.Option(help="[default: 0]")] = None,
    model: Annotated[Path | None, typer.Option(help="folder of a storyteller [default: the committed one]")] = None,
    state: Annotated[Path | None, typer.Option(help="kept up to date after each paragraph; gone on with if it exists")] = None,
) -> None:
    """Write a story of any length, paragraph by paragraph."""
    from plottwist import artifacts, profiles
    from plottwist.longstory import command, experiments

    folder = model or (command.COMMITTED if command.COMMITTED.is_dir() else artifacts.folder("longstory", "cpu"))
    how = experiments.decoding(profiles.load("cpu"))
    for number, paragraph in enumerate(command.stream(folder, keywords, premise, paragraphs, how, seed, state)):
        print(f"{chr(10) if number else ''}{paragraph}", flush=True)


@app.command()
def refine(
    file: Annotated[str, typer.Argument(help="a text file, or - for standard input")],
    premise: Annotated[str | None, typer.Option(help="the premise that the plot was written for")] = None,
    model: Annotated[Path | None, typer.Option(help="folder of a studio model [default: the committed one]")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="the whole record")] = False,
) -> None:
    """Propose a better version of one plot, kept only if the rater prefers it, with a word diff."""
    from plottwist.studio import shell

    shell.refine_file(file, premise, model, seed, json)


@app.command()
def explain(
    file: Annotated[str, typer.Argument(help="a text file, or - for standard input")],
    model: Annotated[Path | None, typer.Option(help="folder of a studio model [default: the committed one]")] = None,
    json: Annotated[bool, typer.Option("--json", help="the whole record")] = False,
) -> None:
    """Explain one plot: sentence labels, turning points, emotional arc, cast, and what happens in plain words."""
    from plottwist.studio import shell

    shell.explain_file(file, model, json)


@app.command()
def studio(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8866,
    token: Annotated[bool, typer.Option(help="ask for the token in the printed address")] = True,
    browser: Annotated[bool, typer.Option(help="open the page in a browser")] = True,
    model: Annotated[Path | None, typer.Option(help="folder of a studio model [default: the committed one]")] = None,
) -> None:
    """Serve the studio page on localhost: premise in, plots, ratings, refinement with a diff, explanation."""
    from plottwist.studio import shell

    shell.serve(port, token, browser, model)


@app.command()
def generate(
    text: Annotated[str | None, typer.Argument(metavar="[PREMISE]", help="who, where, what they want, and what stands in the way")] = None,
    premise: Annotated[str | None, typer.Option(help="the same, as an option")] = None,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="how many plots")] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    form: Annotated[
        str, typer.Option(help="synopsis, fable, dialogue, screenplay or lesson; the small writer knows synopses alone")
    ] = "synopsis",
    profile: Annotated[
        str | None, typer.Option(callback=_absolute, help="the writer that a profile trains [default: the committed one]")
    ] = None,
    model: Annotated[str | None, typer.Option(help="folder or Hub id of a writer or another chat model")] = None,
    api: Annotated[bool, typer.Option("--api", help="the model served at PLOTTWIST_API_BASE")] = False,
) -> None:
    """Write plots for a premise, best first, each with its five scores."""
    from plottwist import artifacts
    from plottwist.generator import writing

    if (text is None) == (premise is None):
        raise PlotTwistError("say once what the plot is about: plottwist generate --premise '...'")
    about = premise if text is None else text
    if sum((profile is not None, model is not None, api)) > 1:
        raise PlotTwistError("--profile, --model and --api each name a writer; choose one")
    if api:
        from plottwist.backends.api import Api

        found = writing.write_served(about, n, seed, Api(), form, _english_scores)
    elif model is not None:
        found = writing.write(about, n, seed, model, form, _english_scores)
    else:
        if told := writing.warning(about, form):
            print(f"plottwist: {told}", file=sys.stderr)
        source, trained = writing.COMMITTED, profile and artifacts.is_made("writer", profile)
        if trained or profile not in (None, "cpu") or not source.is_dir():
            if not trained:
                print(f"plottwist: the writer of profile {profile or 'cpu'} is trained first", file=sys.stderr)
            source = artifacts.folder("writer", profile or "cpu") / "model"
        found = writing.write(about, n, seed, source, form)
    for each in found:
        print(f"{each.plot}\n  [{writing.as_line(each)}]\n")


@data.command("list")
def data_list() -> None:
    """The shipped files, and the third-party tables if they are there."""
    from plottwist import paths, registry

    for name, digest in registry.entries().items():
        print(f"shipped      {digest[:12]}  {name}")
    if not (paths.public_data() / "index.json").is_file():
        print(f"third-party  none in {paths.public_data()}; set PLOTTWIST_DATA to their folder")
        return
    from plottwist.corpora import public

    for name, entry in public.index().items():
        print(f"third-party  {entry['sha256'][:12]}  {name}  {entry['rows']} rows: {entry['what']}")


@data.command("check")
def data_check() -> None:
    """Check every shipped file against its sha256, and the third-party tables if they are there."""
    from plottwist import paths, registry

    for name in registry.entries():
        registry.path(name)
    if unknown := sorted(set(registry.shipped_files()) - registry.entries().keys()):
        raise PlotTwistError(f"data/{unknown[0]} is not registered; run `plottwist data register`")
    print(f"{len(registry.entries())} shipped files match data/registry.txt")
    if not (paths.public_data() / "index.json").is_file():
        print(f"no third-party data in {paths.public_data()}; set PLOTTWIST_DATA to their folder")
        return
    from plottwist.corpora import public

    rows = sum(len(public.table(name)) for name in public.KEYS)
    print(f"{len(public.KEYS)} third-party tables match their index ({rows} rows)")


@data.command("cards")
def data_cards() -> None:
    """Measure the shipped texts and ratings anew and write the tables into their data cards."""
    from plottwist.corpora import cards

    for path in cards.write():
        print(path)


@data.command("register")
def data_register() -> None:
    """Write data/registry.txt anew, after a meant change of shipped data."""
    from plottwist import registry

    print(f"{registry.register()} files registered")


def _english_scores(texts: list[str]) -> list[NQDScores]:
    """By the reward model of notebook 01, which reads English of any kind."""
    from plottwist.reward import experiments, rating

    return [rated.scores for rated in experiments.load(rating.COMMITTED).rate_stream(iter(texts))]


def _show_claims(profile: str, out: Path | None) -> None:
    from plottwist import claims as ledger
    from plottwist import profiles, results
    from plottwist.paths import RESULTS

    name = profiles.load(profile).name
    folder = results.results_folder(out, name) if out else RESULTS / name
    verdicts = [v for v in ledger.judge_all({name: results.load(folder)}) if v.claim.profile == name]
    if not verdicts:
        print(f"no claim is tested in profile {name}")
    for verdict in verdicts:
        row = verdict.row()
        number = (
            "-"
            if row["value"] is None
            else f"{row['value']:.3f}" + ("" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]")
        )
        print(f"{row['id']:<40} {row['status']:<32} {number:<26} {row['test']}")


def _parameters(pairs: list[str]) -> dict[str, object]:
    parsed = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise PlotTwistError(f"'{pair}' is not NAME=VALUE")
        parsed[name] = files.parse_yaml(value, f"the value of {name}")
    return parsed


def main() -> None:
    """Entry point: bad input becomes one line and exit code 2."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # what libraries tell programmers is not for users
    try:
        app()
    except PlotTwistError as error:
        print(f"plottwist: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
