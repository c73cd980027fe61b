"""Changed uploads show the picture that the gateway sees."""

import io

import numpy as np
import pytest
from PIL import Image

from gateway.imaging import preprocess
from training.judge import robustness


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("change", robustness.CHANGES.values(), ids=robustness.CHANGES)
def test_a_cut_out_picture_stays_on_white(mode: str, change: robustness.Change) -> None:
    picture = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    picture.paste((200, 200, 200, 255), (100, 100, 200, 200))
    file = io.BytesIO()
    picture.convert(mode).save(file, "PNG")
    before, after = (
        preprocess(data).astype(int) for data in (file.getvalue(), robustness.changed(file.getvalue(), change))
    )
    assert before[0, 0].tolist() == [255, 255, 255]
    assert np.abs(after[:20, :20] - before[:20, :20]).max() < 60
