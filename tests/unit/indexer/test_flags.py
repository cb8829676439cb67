import pytest

from indexer.flags import FlagError, bad_rows, fusion, pairs, weights
from indexer.manifest import FusionWeights, QueryKind
from indexer.rejects import BadRowLimit


def test_pairs():
    assert pairs("--map", ("title=name", " id = sku=x")) == {"title": "name", "id": "sku=x"}
    for wrong in ("title", "=x", "title=", ""):
        with pytest.raises(FlagError, match="--map"):
            pairs("--map", (wrong,))


def test_fusion():
    assert fusion(("text=0.25", "mixed=1")) == {
        QueryKind.TEXT: FusionWeights(image=0.25, text=0.75),
        QueryKind.MIXED: FusionWeights(image=1, text=0),
    }
    with pytest.raises(FlagError, match="the kinds are text, image, mixed"):
        fusion(("words=0.5",))


@pytest.mark.parametrize("share", ["1.1", "-0.1", "nan", "half", ""])
def test_shares(share):
    with pytest.raises(FlagError, match="expected a share"):
        weights(share)


def test_bad_rows():
    assert bad_rows("5") == BadRowLimit(rows=5)
    with pytest.raises(FlagError, match="--max-bad-rows 'some'"):
        bad_rows("some")
