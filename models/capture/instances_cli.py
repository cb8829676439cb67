"""`python -m models capture train-head|train|evaluate`: what products in photos are searched with, and how well.

Reads flags and prints; heavy imports wait until the threads are set up.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import orjson

from models.flags import CATALOGUE, one_line_on_failure

if TYPE_CHECKING:
    from models.capture.composites import CompositeDesign
    from models.capture.head_training import HeadData, RegionsConfig
    from models.capture.region_data import Composes
    from models.capture.scenes import Scene
    from models.encoder import Encoder
    from models.train.feed import Feed

Command = TypeVar("Command", bound=Callable[..., None])

Source = tuple["Composes", dict[str, object], int | None]
"""What composes, what names it, and how many it can make, None for any number."""

_EVERY = "all"
_ENCODER = click.option(
    "--encoder", default="mini", show_default=True, help="mini, a checkpoint folder, ARCH/tag, or hf-hub:id."
)
_SPLIT = click.option("--split", default="train", show_default=True, help=f"Of the catalogue; {_EVERY}: all products.")


def _training(command: Command) -> Command:
    """Add the options of every training."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the finished card as JSON."),
        click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting."),
        click.option("--resume", is_flag=True, help="Go on from the state in --out, if there is one."),
        click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the result."),
        _SPLIT,
        _ENCODER,
        click.option("--cutouts", type=click.Path(path_type=Path), help="What `capture cut` wrote: composed from."),
        CATALOGUE,
        click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="TOML file."),
    ):
        command = option(command)
    return command


@click.command("train-head")
@_training
@click.option("--scenes", type=click.Path(path_type=Path), help="Labelled photos in place of composites: JSON lines.")
def train_head(
    *,
    config_path: Path,
    catalogue: Path,
    cutouts: Path | None,
    encoder: str,
    split: str,
    out: Path,
    resume: bool,
    overrides: tuple[str, ...],
    as_json: bool,
    scenes: Path | None,
) -> None:
    """Train the head that leads vectors of cut-out regions to those of catalogue pictures."""
    from models.capture.head_training import HeadConfig, fit_head
    from models.capture.provenance import provenance
    from models.train.config import read_config

    with one_line_on_failure("stopped; --resume goes on from the last save"):
        config = read_config(config_path, overrides, HeadConfig)
        source = _composer(cutouts, scenes, config.composites, config.run.seed, split)
        loaded = _opened(encoder, config.run.threads)
        data, told = _read(loaded, _feed(catalogue, split), config.regions, source)
        options = {"config": str(config_path), "catalogue": told, "split": split, "encoder": encoder}
        options |= {"cutouts": str(cutouts)} if cutouts else {"scenes": str(scenes)}
        called = provenance("train-head", options, overrides)
        card = fit_head(config, data, loaded.fingerprint, out, resume=resume, provenance=called, report=_report)
    click.echo(card.model_dump_json(indent=2) if as_json else f"{out}: {card.name}, fingerprint {card.fingerprint}")


@click.command()
@_training
def train(
    *,
    config_path: Path,
    catalogue: Path,
    cutouts: Path | None,
    encoder: str,
    split: str,
    out: Path,
    resume: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train CAPTURE on composites whose captions are the titles of their products."""
    from models.capture.capture_training import CaptureConfig, fit_capture
    from models.capture.provenance import provenance
    from models.train.config import read_config

    with one_line_on_failure("stopped; --resume goes on from the last save"):
        config = read_config(config_path, overrides, CaptureConfig)
        source = _composer(cutouts, None, config.composites, config.drawn, split)
        loaded = _opened(encoder, config.run.threads)
        data, told = _read(loaded, _feed(catalogue, split), config.regions, source)
        options = {"config": str(config_path), "catalogue": told, "split": split, "encoder": encoder}
        called = provenance("train", {**options, "cutouts": str(cutouts)}, overrides)
        card = fit_capture(config, data, loaded.fingerprint, out, resume=resume, provenance=called, report=_report)
    click.echo(card.model_dump_json(indent=2) if as_json else f"{out}: {card.name}, fingerprint {card.fingerprint}")


@click.command()
@CATALOGUE
@_ENCODER
@_SPLIT
@click.option("--scenes", type=click.Path(path_type=Path), help="Labelled photos: JSON lines beside their pictures.")
@click.option("--collages", type=click.Path(path_type=Path), help="Collages of the catalogue's pictures: JSON lines.")
@click.option("--cluttered", type=click.Path(path_type=Path), help="Cut-outs: paste the collages on backgrounds.")
@click.option("--detector", type=click.Path(path_type=Path), help="Its folder.  [default: only true boxes]")
@click.option("--head", type=click.Path(path_type=Path), help="Its folder.")
@click.option("--capture", "joint", type=click.Path(path_type=Path), help="The folder of a CAPTURE model.")
@click.option("--only", "scene_split", help="Only the scenes of this split.")
@click.option("--pictures", type=click.IntRange(min=1), help="Of each product in the gallery, at most.  [default: all]")
@click.option("--seed", default=0, show_default=True, help="Of intervals and backgrounds.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the CPU.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the ranks of all instances: .npz.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; figures are shares in 0..1.")
def evaluate(
    *,
    catalogue: Path,
    encoder: str,
    split: str,
    scenes: Path | None,
    collages: Path | None,
    cluttered: Path | None,
    detector: Path | None,
    head: Path | None,
    joint: Path | None,
    scene_split: str | None,
    pictures: int | None,
    seed: int,
    threads: int | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Measure how well every product in photos is found: boxes, and each product's place among all pictures."""
    import numpy as np

    from models.capture.detecting import load_detector
    from models.capture.evaluation import Systems, evaluate_scenes
    from models.capture.evaluation_tables import as_json_value, as_table
    from models.capture.head import load_head
    from models.capture.joint import load_joint
    from models.capture.region_data import catalogue_vectors, user_cache_dir

    with one_line_on_failure():
        loaded, (feed, part) = _opened(encoder, threads), _feed(catalogue, split)
        shown = _scenes(scenes, collages, cluttered, (feed, part), scene_split, seed)
        offered = catalogue_vectors(feed, part, loaded, cache_dir=user_cache_dir(), pictures=pictures)
        systems = Systems(
            loaded,
            None if detector is None else load_detector(detector),
            None if head is None else load_head(head),
            None if joint is None else load_joint(joint),
        )
        result, ranks = evaluate_scenes(shown, offered, systems, seed)
        if save is not None:
            save.parent.mkdir(parents=True, exist_ok=True)
            np.savez(save, allow_pickle=False, **ranks)
    shown_as = orjson.dumps(as_json_value(result), option=orjson.OPT_INDENT_2).decode() if as_json else as_table(result)
    click.echo(shown_as)


def _scenes(
    scenes: Path | None,
    collages: Path | None,
    cluttered: Path | None,
    catalogue: "tuple[Feed, str]",
    split: str | None,
    seed: int,
) -> "list[Scene]":
    from models.capture.clutter import backgrounds
    from models.capture.collages import read_collages
    from models.capture.scenes import Scene, read_scenes

    if (scenes is None) == (collages is None):
        raise click.UsageError("give either --scenes or --collages")
    if scenes is not None:
        return list(read_scenes(scenes, split))
    pasted_on = None if cluttered is None else backgrounds(cluttered, seed)
    return [Scene.of_collage(one) for one in read_collages(Path(str(collages)), *catalogue, pasted_on)]


def _composer(cutouts: Path | None, scenes: Path | None, design: "CompositeDesign", seed: int, split: str) -> "Source":
    from models.capture.composites import Composer
    from models.capture.cutouts import Cutouts
    from models.capture.scenes import SceneComposer, digest_of

    if (cutouts is None) == (scenes is None):
        raise click.UsageError("give either --cutouts or --scenes")
    if scenes is not None:
        made = SceneComposer(scenes)
        return made, digest_of(scenes), len(made)
    path = Path(str(cutouts))
    opened = Cutouts.open(path)
    composer = Composer(opened if split == _EVERY else opened.of_split(split), design, seed)
    said = {"cutouts": _digest(path), "split": split, "design": design.model_dump(mode="json"), "seed": seed}
    return composer, said, None


def _read(
    encoder: "Encoder", catalogue: "tuple[Feed, str]", settings: "RegionsConfig", source: "Source"
) -> "tuple[HeadData, str]":
    """Return what is trained on, and the catalogue's name."""
    from models.capture.head_training import HeadData
    from models.capture.region_data import catalogue_vectors, data_card, region_table, user_cache_dir

    feed, part = catalogue
    composer, said, most = source
    cache = settings.cache_dir or user_cache_dir()
    offered = catalogue_vectors(feed, part, encoder, cache_dir=cache, pictures=settings.pictures)
    count = settings.composites if most is None else min(settings.composites, most)
    regions = region_table(composer, count, encoder, settings.jitter, said=said, cache_dir=cache)
    return HeadData(regions, offered, data_card(feed, (offered.digest, regions.digest), settings.licence)), feed.name


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(encoder: str, threads: int | None) -> "Encoder":
    import torch

    from models.checkpoint import load_encoder

    if threads is not None:
        torch.set_num_threads(threads)
    return load_encoder(encoder)


def _feed(catalogue: Path, split: str) -> "tuple[Feed, str]":
    """Return the feed and the name of the split in it."""
    from models.category.whole_feed import WHOLE, WholeFeed
    from models.train.feed import Feed

    return (WholeFeed.open(catalogue), WHOLE) if split == _EVERY else (Feed.open(catalogue), split)


def _report(line: str) -> None:
    click.echo(line, err=True)
