"""Pictures of plain shapes on noise, with their boxes: what a detector of a few thousand weights can learn."""

from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw


class Shapes:
    """Composes pictures of one to three ellipses and rectangles, `(width, height)` pixels."""

    def __init__(self, seed=0, size=(64, 48), least=1, most=3):
        self.seed, self.size, self.least, self.most = seed, size, least, most

    def composite(self, number):
        rng = np.random.default_rng([self.seed, number])
        width, height = self.size
        picture = Image.fromarray(rng.integers(90, 130, (height, width, 3)).astype(np.uint8))
        draw, boxes = ImageDraw.Draw(picture), []
        slots = rng.permutation(3)[: rng.integers(self.least, self.most + 1)]
        for slot in slots:
            wide, high = rng.uniform(0.18, 0.3) * width, rng.uniform(0.3, 0.8) * height
            left = (slot + 0.5) * width / 3 - wide / 2
            top = rng.uniform(0, height - high)
            box = [round(left), round(top), round(left + wide), round(top + high)]
            colour = tuple(int(value) for value in rng.choice([20, 235], 3))
            kind = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            kind([box[0], box[1], box[2] - 1, box[3] - 1], fill=colour)
            boxes.append(box)
        return SimpleNamespace(picture=picture, boxes=np.array(boxes, np.float32))
