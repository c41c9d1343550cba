"""The film of a training: one frame an epoch, one colour scale, a file that opens."""

from __future__ import annotations

import json
import sys

import numpy as np
import PIL.Image
import pytest
import torch

from solarxai import cli
from solarxai.attribution import draw_baselines
from solarxai.blocks import save_block
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError, QueryError, WorkflowError
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.plotting import movie
from solarxai.plotting._training_run import read_training
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.spectrograms import flatten

IMAGE = InputContract(shape=(32, 32), scale_mm=0.5)
SPECTRUM = InputContract(
    shape=(240,), scale_mm=None, wavelength=(2794.14, 2805.72), offset=0.2, scale=0.3,
    classes=("active", "preflare"),
)  # fmt: skip
SPECTROGRAM = InputContract(
    shape=(12, 240), scale_mm=None, wavelength=(2794.14, 2805.72), offset=0.2, scale=0.3,
    classes=("active", "preflare"),
)  # fmt: skip


def classifier(contract, seed):
    options = {"width": 4, "axes": len(contract.shape)}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResidualCNN(**options)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1 + 0.2 * seed)
    return Classifier(
        network=network.eval(),
        contract=contract,
        architecture="solarxai.models.residual_cnn:ResidualCNN",
        options=options,
    )


def made_run(folder, samples, contract, *, epochs=3):
    """Return the folder of a run as training and attribution leave it."""
    (folder / "samples").mkdir(parents=True)
    (folder / "epochs").mkdir()
    half = samples.sizes["sample"] // 2
    save_block(samples.isel(sample=slice(half)), folder / "samples" / "a.nc")
    save_block(samples.isel(sample=slice(half, None)), folder / "samples" / "b.nc")
    for epoch in range(epochs + 1):
        classifier(contract, epoch).save(folder / "epochs" / f"epoch-{epoch:03d}.safetensors")
    history = [
        {"number": n, "loss": 1 / n, "validation_loss": 1.2 / n, "validation_tss": 1 - 1 / n}
        for n in range(1, epochs + 1)
    ]
    (folder / "training.json").write_text(json.dumps({"history": history}))
    baselines = draw_baselines(samples, classifier(contract, 0), n=4, split=None)
    np.save(folder / "baselines.npy", baselines.numpy())
    return folder


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    samples = mock_samples(12)
    samples.attrs["scale_mm"] = 0.5
    return made_run(tmp_path_factory.mktemp("image"), samples, IMAGE)


@pytest.fixture(scope="module")
def spectrum_run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("spectrum"), mock_spectrograms(16), SPECTRUM)


def frames_of(path):
    with PIL.Image.open(path) as film:
        found = []
        for number in range(film.n_frames):
            film.seek(number)
            found.append((np.asarray(film.convert("RGB")), film.info["duration"]))
        return found


def test_an_image_run_becomes_a_film_with_a_frame_an_epoch(image_run, tmp_path):
    seen = []
    number = movie.training_movie(
        image_run, tmp_path / "new" / "film.webp", method="gradient", fps=4,
        progress=lambda *told: seen.append(told),
    )  # fmt: skip
    assert number == 4
    frames = frames_of(tmp_path / "new" / "film.webp")
    assert [pixels.shape for pixels, _ in frames] == [(560, 720, 3)] * 4
    assert [np.abs(a[0].astype(int) - b[0]).max() > 100
            for a, b in zip(frames[1:], frames, strict=False)] == [True] * 3  # fmt: skip
    assert [lasting for _, lasting in frames] == [250, 250, 250, 2000]
    assert seen == [(n, 4, "epochs explained") for n in range(1, 5)] + [
        (n, 4, "frames") for n in range(1, 5)
    ]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["film.webp"]


def test_equal_runs_give_equal_bytes(image_run, tmp_path):
    for name in ("one.webp", "two.webp"):
        movie.training_movie(image_run, tmp_path / name, method="gradient")
    assert (tmp_path / "one.webp").read_bytes() == (tmp_path / "two.webp").read_bytes()


def test_the_colour_scale_is_the_same_in_all_frames_and_the_marker_moves(image_run):
    film = read_training(image_run, method="gradient", sample="0", progress=None)
    scene = movie._scene(film)
    norms, places, dots = [], [], []
    for place in range(4):
        movie._turn(scene, film, place)
        norms.append((scene.map.norm.vmin, scene.map.norm.vmax))
        places.append(scene.marker.get_xdata()[0])
        dots.append([len(dot.get_xdata()) for dot, _ in scene.dots])
        np.testing.assert_array_equal(scene.map.get_array(), film.maps[place])
    top = np.percentile(np.abs(film.maps), 99.5)
    np.testing.assert_allclose(norms, [(-top, top)] * 4, rtol=1e-6)
    assert places == [0, 1, 2, 3]
    assert dots == [[0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert scene.title.get_text() == f"epoch 3 of 3, score {film.margins[3]:+.3g} logit"


def test_an_exposure_is_filmed_with_every_spectrum_explained_by_itself(spectrum_run):
    film = read_training(spectrum_run, method=None, sample=None, progress=None)
    assert film.method == "expected_gradients"
    assert film.maps.shape == (4, 12, 240)
    assert np.isnan(film.maps[:, 11]).all()
    assert np.isfinite(film.maps[:, :11]).all()
    assert film.sample["label"].item() == "preflare"
    single = read_training(spectrum_run, method="gradient", sample="mock-r00000-s02-y0004",
                           progress=None)  # fmt: skip
    whole = read_training(spectrum_run, method="gradient", sample="mock-r00000-s02", progress=None)
    assert single.maps.shape == (4, 240)
    largest = np.abs(single.maps).max()
    np.testing.assert_allclose(single.maps, whole.maps[:, 4], atol=1e-6 * largest)


@pytest.mark.parametrize("kind", ["exposure", "spectrum", "spectrogram"])
def test_films_of_spectra_are_written(spectrum_run, tmp_path, kind):
    run, sample = spectrum_run, {"spectrum": "mock-r00000-s02-y0004"}.get(kind, "mock-r00000-s02")
    if kind == "spectrogram":
        run = made_run(tmp_path / "run", mock_spectrograms(16), SPECTROGRAM, epochs=1)
    path = tmp_path / f"{kind}.webp"
    number = movie.training_movie(run, path, method="gradient", sample=sample)
    assert number == len(frames_of(path)) == (2 if kind == "spectrogram" else 4)


def test_a_run_of_single_spectra_is_filmed(tmp_path):
    run = made_run(tmp_path / "run", flatten(mock_spectrograms(16)), SPECTRUM, epochs=1)
    film = read_training(run, method="gradient", sample="7", progress=None)
    assert film.maps.shape == (2, 240)


def test_a_sample_of_the_test_side_is_preferred(spectrum_run, tmp_path):
    run = made_run(tmp_path / "run", mock_spectrograms(16), SPECTRUM, epochs=1)
    (run / "split.json").write_text(json.dumps({"mock-r00000-s05": "test"}))
    film = read_training(run, method="gradient", sample=None, progress=None)
    assert film.sample["sample_id"].item() == "mock-r00000-s05"


def test_maps_have_the_options_that_the_run_gave_them_and_its_baselines(image_run, tmp_path):
    run = made_run(tmp_path / "run", mock_samples(8).assign_attrs(scale_mm=0.5), IMAGE, epochs=1)
    (run / "steps").mkdir()
    entries = [{"method": "integrated_gradients", "name": "ig", "steps": 7}]
    record = {"ingredients": {"options": {"explainers": entries}}}
    (run / "steps" / "attribute.json").write_text(json.dumps(record))
    film = read_training(run, method="ig", sample="0", progress=None)
    assert film.method == "integrated_gradients"
    from solarxai import explain

    own = classifier(IMAGE, 1)
    wanted = explain(
        own.network, own.tensor(film.sample["image"].values[None]),
        method="integrated_gradients", steps=7,
        baselines=torch.from_numpy(np.load(run / "baselines.npy")),
    ).values[0, 0]  # fmt: skip
    np.testing.assert_allclose(film.maps[1], wanted, rtol=1e-3, atol=1e-5)


def test_what_a_run_lacks_is_named(image_run, tmp_path):
    with pytest.raises(WorkflowError, match=r"training\.json tells no history of a training"):
        movie.training_movie(tmp_path, tmp_path / "film.webp")
    (tmp_path / "training.json").write_text('{"history": []}')
    with pytest.raises(WorkflowError, match=r"holds no checkpoint .* `keep_epochs: true`"):
        movie.training_movie(tmp_path, tmp_path / "film.webp")
    with pytest.raises(QueryError, match=r"has no sample '12'\. Give a name such as 'mock-00000'"):
        movie.training_movie(image_run, tmp_path / "film.webp", sample="12")
    bare = made_run(tmp_path / "run", mock_samples(8).assign_attrs(scale_mm=0.5), IMAGE, epochs=1)
    (bare / "baselines.npy").unlink()
    assert read_training(bare, method=None, sample=None, progress=None).method == (
        "input_x_gradient"
    )
    with pytest.raises(WorkflowError, match=r"no baselines\.npy, which expected_gradients"):
        movie.training_movie(bare, tmp_path / "film.webp", method="expected_gradients")
    assert not (tmp_path / "film.webp").exists()


def test_names_of_films_are_checked_before_anything_is_computed(tmp_path, monkeypatch):
    with pytest.raises(ContractError, match=r"film\.gif is no name of a film\. Give .*\.webp or"):
        movie.training_movie(tmp_path, tmp_path / "film.gif")
    with pytest.raises(ContractError, match=r"fps 0 is not in \(0, 60\]"):
        movie.training_movie(tmp_path, tmp_path / "film.webp", fps=0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContractError, match=r"not installed\. Install ffmpeg, or give .*\.webp"):
        movie.training_movie(tmp_path, tmp_path / "film.mp4")


def acting_as_ffmpeg(folder, body):
    """Put a program called ffmpeg first on the path; its last argument is the file to write."""
    program = folder / "ffmpeg"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    program.chmod(0o755)


def test_an_mp4_is_piped_through_ffmpeg_frame_by_frame(image_run, tmp_path, monkeypatch):
    acting_as_ffmpeg(tmp_path, "open(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())")
    monkeypatch.setenv("PATH", str(tmp_path))
    number = movie.training_movie(image_run, tmp_path / "film.mp4", method="gradient")
    piped = (tmp_path / "film.mp4").read_bytes()
    assert len(piped) == number * 720 * 560 * 3
    movie.training_movie(image_run, tmp_path / "film.webp", method="gradient")
    last = np.frombuffer(piped, np.uint8).reshape(number, 560, 720, 3)[-1]
    np.testing.assert_array_equal(last, frames_of(tmp_path / "film.webp")[-1][0])


def test_a_failing_ffmpeg_is_told_in_its_own_words(image_run, tmp_path, monkeypatch):
    acting_as_ffmpeg(tmp_path, "sys.exit('Unknown encoder libx264')")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContractError, match=r"ffmpeg could not write film\.mp4: Unknown encoder"):
        movie.training_movie(image_run, tmp_path / "film.mp4", method="gradient")
    assert not (tmp_path / "film.mp4").exists()


def test_the_command_writes_the_film_beside_the_run(image_run, monkeypatch, capsys, tmp_path):
    target = tmp_path / "film.webp"
    words = ["movie", image_run, "-o", target, "--method", "gradient", "--sample", "3", "--fps", 2]
    monkeypatch.setattr(sys, "argv", ["solarxai", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (0, f"{target}: 4 frames\n")
    assert "movie: 4/4" in told.err
    assert len(frames_of(target)) == 4
