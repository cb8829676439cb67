"""`python -m models reproduce`: one command from a study file to its tables and plots.

Reads flags and prints; heavy imports wait until the threads are set up.
"""

import json
import signal
from pathlib import Path
from typing import Never

import click

from models.flags import CATALOGUE, one_line_on_failure


@click.command()
@click.option("--study", "study_path", type=click.Path(path_type=Path), required=True, help="TOML file.")
@CATALOGUE
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of runs, tables and plots.")
@click.option("--split", default="val", show_default=True, help="What is measured.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Runs at once.")
@click.option("--only", multiple=True, metavar="SYSTEM", help="Run no other system; repeatable.")
@click.option("--tables-only", is_flag=True, help="Run nothing; tables and plots of what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON; recalls are shares in 0..1.")
def reproduce(
    study_path: Path,
    catalogue: Path,
    out: Path,
    split: str,
    jobs: int,
    only: tuple[str, ...],
    tables_only: bool,  # noqa: FBT001 - click passes flags by name
    as_json: bool,  # noqa: FBT001 - click passes flags by name
) -> None:
    """Train and measure every system of a study, and make its tables and plots.

    What is finished is not done again; a killed study goes on with the same command.
    """
    from models.study.report import write_report
    from models.study.run import Driver
    from models.study.spec import load_study
    from models.study.store import Store
    from models.study.tables import figures
    from models.train.feed import Feed

    def report(line: str) -> None:
        click.echo(line, err=True)

    before = signal.signal(signal.SIGTERM, _interrupted)  # so that a study told to end ends its trainings
    try:
        with one_line_on_failure("stopped; the same command goes on"):
            study, store, name = load_study(study_path), Store(out, split), Feed.open(catalogue).name
            runs = study.runs(only)
            failures = [] if tables_only else Driver(study, store, catalogue, jobs, report).run(runs)
            records, unusable = store.records(study)
            command = f"python -m models reproduce --study {study_path.name} --catalogue {name} --split {split}"
            write_report(study, store, records, command)
            answer = json.dumps(figures(study, records), indent=1) if as_json else str(out / "report.html")
    finally:
        signal.signal(signal.SIGTERM, before)
    click.echo(answer)
    if failures := failures or unusable:
        raise click.ClickException("; ".join(failures))


def _interrupted(*_: object) -> Never:
    raise KeyboardInterrupt
