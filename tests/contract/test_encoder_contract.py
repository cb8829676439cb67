"""What every Encoder promises, asked of each implementation: plain, EI-CLIP and its baselines, weightless, bundled."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from models.checkpoint import load_encoder
from models.clip_encoder import ClipEncoder
from models.eiclip import EiClipEncoder
from models.encoder import WORDS_TERM, Encoder
from models.joined import JoinedEncoder
from models.product import TextField

TEXTS = ["a red top", "", "warm boots for deep snow " * 20, "café №5 \N{SNOWMAN}", "top"]
ENTITIES = [{"brand": "Nike"}, {}, {"brand": "Nobody", "season": "Winter"}, {"nonsense": "x"}, {"category": "top"}]


def eiclip(support, folder, **design):
    model = support("tiny").eiclip(folder, **design)
    return EiClipEncoder(model, name="tiny", fingerprint="ab" * 32, text_fields=("description",), device="cpu")


def joined(support, folder, _):
    return JoinedEncoder([eiclip(support, folder, seed=seed) for seed in (0, 1)], name="both", fingerprint="cd" * 32)


def bundled(*_):
    return load_encoder("mini", "cpu")


MAKERS = {
    "clip": lambda support, folder, _: ClipEncoder(support("tiny").backbone(folder), device="cpu"),
    "gates": lambda support, folder, _: eiclip(support, folder),
    "literal": lambda support, folder, _: eiclip(support, folder, fusion="literal"),
    "equal": lambda support, folder, _: eiclip(support, folder, weighting="mean"),
    "pasted": lambda support, folder, _: eiclip(support, folder, mode="pasted"),
    "none": lambda support, folder, _: eiclip(support, folder, mode="none"),
    "joined": joined,
    "weightless": lambda _support, _folder, weightless: weightless(
        vocabularies={"brand": ["Nike"], "category": ["top"]}
    ),
    "mini": bundled,
}


@pytest.fixture(params=MAKERS)
def encoder(request, support, tmp_path, weightless):
    return MAKERS[request.param](support, tmp_path, weightless)


@pytest.fixture
def photos(support):
    return [*support("tiny").photos(4), Image.new("RGB", (1, 1)), Image.new("RGB", (3, 900), "red")]


def assert_unit(vectors, count, encoder):
    assert vectors.shape == (count, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_it_is_an_encoder_that_describes_itself(encoder):
    assert isinstance(encoder, Encoder)
    assert encoder.name
    assert len(encoder.fingerprint) == 64
    assert int(encoder.fingerprint, 16) >= 0
    assert set(encoder.text_fields) <= set(TextField.__args__)
    assert all(len(set(values)) == len(values) for values in encoder.vocabularies.values())


def test_texts_are_unit_rows(encoder):
    assert_unit(encoder.encode_texts(TEXTS, ENTITIES), len(TEXTS), encoder)
    assert_unit(encoder.encode_texts(TEXTS), len(TEXTS), encoder)


def test_images_of_any_size_are_unit_rows(encoder, photos):
    assert_unit(encoder.encode_images(photos), len(photos), encoder)


def test_nothing_in_is_nothing_out(encoder):
    assert encoder.encode_texts([]).shape == (0, encoder.dim)
    assert encoder.encode_texts([], []).shape == (0, encoder.dim)
    assert encoder.encode_images([]).shape == (0, encoder.dim)
    assert encoder.text_terms([]) == []


def test_terms_add_up_and_begin_with_the_words(encoder):
    vectors = encoder.encode_texts(TEXTS, ENTITIES)
    for vector, terms, entities in zip(vectors, encoder.text_terms(TEXTS, ENTITIES), ENTITIES, strict=True):
        np.testing.assert_allclose(terms.vector, vector, atol=1e-5)
        assert terms.names[0] == WORDS_TERM
        assert terms.names[1:] == tuple(terms.gates)
        assert set(terms.gates) <= set(entities)
        assert all(0 < gate <= 1 for gate in terms.gates.values())
        assert terms.terms.shape == (len(terms.names), encoder.dim)


def test_unknown_values_change_nothing_unless_they_are_words(encoder, request):
    plain, stated = encoder.encode_texts(["boots"]), encoder.encode_texts(["boots"], [{"brand": "Zzyzx Unheard Of"}])
    if "pasted" in request.node.name:
        assert not np.allclose(plain, stated, atol=1e-4)
    else:
        np.testing.assert_allclose(plain, stated, atol=1e-6)


def test_unknown_groups_change_nothing(encoder):
    plain, stated = encoder.encode_texts(["boots"]), encoder.encode_texts(["boots"], [{"nonsense": "x", "": ""}])
    np.testing.assert_allclose(plain, stated, atol=1e-6)


def test_a_vector_does_not_depend_on_its_company(encoder, photos):
    together, alone = encoder.encode_texts(TEXTS * 30, ENTITIES * 30), encoder.encode_texts(TEXTS[:1], ENTITIES[:1])
    np.testing.assert_allclose(together[0], alone[0], atol=1e-5)
    np.testing.assert_allclose(together[-len(TEXTS)], alone[0], atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(photos * 12)[-1], encoder.encode_images(photos[-1:])[0], atol=1e-5)


def test_the_same_input_gives_the_same_vector(encoder, photos):
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS, ENTITIES), encoder.encode_texts(TEXTS, ENTITIES))
    np.testing.assert_array_equal(encoder.encode_images(photos), encoder.encode_images(photos))


def test_inputs_of_different_length_are_refused(encoder):
    for method in (encoder.encode_texts, encoder.text_terms):
        with pytest.raises(ValueError, match=r"2 .*1|differ"):
            method(["a", "b"], [{}])


def test_threads_get_what_one_caller_gets(encoder, photos):
    want_texts, want_images = encoder.encode_texts(TEXTS, ENTITIES), encoder.encode_images(photos)

    def work(_):
        return encoder.encode_texts(TEXTS, ENTITIES), encoder.encode_images(photos)

    with ThreadPoolExecutor(4) as pool:
        for texts, images in pool.map(work, range(12)):
            np.testing.assert_allclose(texts, want_texts, atol=1e-6)
            np.testing.assert_allclose(images, want_images, atol=1e-6)


def test_a_bundled_encoder_is_the_same_in_another_process():
    mini = bundled()
    code = (
        "from models.checkpoint import load_encoder; e = load_encoder('mini', 'cpu');"
        "print(e.fingerprint, e.encode_texts(['red boots'], [{}]).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    fingerprint, vector = done.stdout.split()
    assert fingerprint == mini.fingerprint
    other = np.frombuffer(bytes.fromhex(vector), dtype=np.float32)
    assert float(other @ mini.encode_texts(["red boots"], [{}])[0]) > 0.9999
