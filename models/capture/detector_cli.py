"""`python -m models capture train-detector`: cut-outs to a trained detector."""

from pathlib import Path

import click

from models.flags import one_line_on_failure


@click.command("train-detector")
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="TOML file.")
@click.option("--cutouts", type=click.Path(path_type=Path), required=True, help="Arrow file with the split train.")
@click.option(
    "--val-cutouts",
    type=click.Path(path_type=Path),
    help="Arrow file with the split val.  [default: that of --cutouts]",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the detector.")
@click.option("--resume", is_flag=True, help="Go on from the state in --out, if there is one.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting.")
@click.option("--json", "as_json", is_flag=True, help="Print the finished card as JSON.")
def train_detector(
    *,
    config_path: Path,
    cutouts: Path,
    val_cutouts: Path | None,
    out: Path,
    resume: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train a detector of products on composites of cut-outs; held-back products choose its best epoch."""
    from models.capture.detector_config import DetectorConfig
    from models.capture.detector_sources import CutoutFiles, detector_data
    from models.capture.detector_training import fit_detector
    from models.capture.provenance import provenance
    from models.train.config import read_config

    with one_line_on_failure("stopped; --resume goes on from the last save"):
        config = read_config(config_path, overrides, DetectorConfig)
        data = detector_data(config, CutoutFiles(cutouts, val_cutouts or cutouts))
        options = {"config": config_path.name, "cutouts": cutouts.name}
        options |= {"val-cutouts": val_cutouts.name} if val_cutouts else {}
        told = provenance("train-detector", options, overrides)
        card = fit_detector(config, data, out, resume=resume, provenance=told, report=_report)
    click.echo(card.model_dump_json(indent=2) if as_json else f"{out}: {card.name}, fingerprint {card.fingerprint}")


def _report(line: str) -> None:
    click.echo(line, err=True)
