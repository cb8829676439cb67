"""The configuration of a detector's training: one TOML file, checked in full before anything is read or computed."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from models.capture.composites import CompositeDesign
from models.capture.detector import DetectorDesign
from models.train.config import OptimConfig, RunConfig

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
_Side = Annotated[int, Field(ge=32, le=2048)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComposedConfig(_Section):
    """What is trained on and measured with.

    Attributes:
        train: composites to train on, other ones with every seed.
        val: composites of products that are held back, to choose the best epoch and fit the confidence with.
        shapes: widths and heights of the composites, in turns, in pixels.
        alone: share of the composites that are one product that fills most of the picture, as catalogue photos are.
        alone_scales: of such products, as of `composites.scales`.
        cache_dir: where composed pictures are kept; None for the user's cache folder.
        licence: of the data, for the card.
    """

    train: Positive = 6000
    val: Positive = 400
    shapes: Annotated[tuple[tuple[_Side, _Side], ...], Field(min_length=1)] = ((320, 240), (240, 320), (280, 280))
    alone: Share = 0.3
    alone_scales: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.55, 1.25)
    cache_dir: Path | None = None
    licence: str | None = None


class AlikeConfig(_Section):
    """Changes of a composed picture, other ones in every epoch.

    Attributes:
        mirror: share of the pictures that are mirrored.
        light: largest relative change of brightness and of contrast, up or down.
    """

    mirror: Share = 0.5
    light: Annotated[float, Field(ge=0, lt=1)] = 0.15


class DetectorConfig(_Section):
    """All of it.

    Attributes:
        name: of the detector, for its card.
        licence: of the weights.
        design: of the network.
        composites: how pictures are composed.
        data: how many there are.
        alike: changes of them.
        box_weight: of the boxes' loss beside the scores'.
        averaged: decay of the moving average of the weights that is kept and measured; 0 for none.
        optim: AdamW with a cosine schedule; an epoch is all composites once.
        run: how the program runs.
    """

    name: Annotated[str, Field(min_length=1)]
    licence: str = "Apache-2.0"
    design: DetectorDesign = DetectorDesign()
    composites: CompositeDesign = CompositeDesign()
    data: ComposedConfig = ComposedConfig()
    alike: AlikeConfig = AlikeConfig()
    box_weight: Annotated[float, Field(gt=0)] = 2.0
    averaged: Annotated[float, Field(ge=0, lt=1)] = 0.998
    optim: OptimConfig = OptimConfig(epochs=6, batch_size=16, lr=2e-3)
    run: RunConfig = RunConfig()
