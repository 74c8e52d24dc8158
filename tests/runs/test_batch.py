"""Many samples to files: names, labels, what is skipped, what a run reports."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import micam_fast
from micam_fast import Explanation, Model, load_model
from micam_fast.core.errors import (
    LayoutEngineError,
    MicamError,
    OutputError,
    SampleError,
    TooLargeError,
)
from micam_fast.core.output_files import file_stem
from micam_fast.runs.journal import Journal
from micam_fast.runs.manifest import NAME, resume_manifest, start_manifest
from micam_fast.runs.observing import RunSample
from micam_fast.runs.plotting import plot_samples
from micam_fast.runs.sample_files import PlotOptions, sample_stem
from micam_fast.runs.summary import RunSummary, exit_code
from micam_fast.samples import Sample
from tests.helpers import models
from tests.helpers.run_folders import manifest_lines
from tests.helpers.samples import as_samples, random_samples

Done = tuple[int, str, Sequence[str] | SampleError]


class Heard:
    """What became of each sample, as an observer hears it."""

    def __init__(self) -> None:
        self.samples: list[RunSample] = []

    def finished(self, sample: RunSample) -> None:
        self.samples.append(sample)

    @property
    def done(self) -> list[Done]:
        return [(each.index, each.name, each.shown) for each in self.samples]


def files_of(found: Sequence[str] | SampleError) -> Sequence[str]:
    """Names of what was written for a sample."""
    assert not isinstance(found, SampleError)
    return found


def written(told: Sequence[Done]) -> list[int]:
    """Indices of the samples that have their files."""
    return [index for index, _, found in told if not isinstance(found, SampleError)]


def expected_name(
    proto: onnx.ModelProto, array: NDArray[np.float32], index: int, *, logits: bool, label: str = ""
) -> str:
    """The issue's pattern, from ONNX Runtime's own output."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    scores = np.asarray(session.run(None, {"x": array[np.newaxis]})[0], np.float64)[0]
    if logits:
        scores = np.exp(scores) / np.exp(scores).sum()
    said = f"label-{label}_" if label else ""
    name = proto.graph.name
    return f"{name}_sample-{index}_{said}pred-{scores.argmax()}-{scores.max():.4f}.npz"


@pytest.fixture(scope="module")
def model() -> Model:
    """A small classifier."""
    return load_model(models.conv_net())


@pytest.fixture(scope="module")
def explanation(model: Model) -> Explanation:
    """One result of it."""
    return model.explain(random_samples(1)[0])


class TestNames:
    """``{model}_sample-{i}_[label-{l}_]pred-{class}-{probability:.4f}.{ext}``."""

    @pytest.mark.parametrize("logits", [False, True])
    def test_model_index_class_probability(self, tmp_path: Path, logits: bool) -> None:
        proto = models.conv_net(logits=logits)
        arrays = random_samples(3)
        options = PlotOptions(tmp_path, ("npz",))
        heard = Heard()
        model = load_model(proto, logits=logits)
        plot_samples(model, as_samples(arrays), options, observers=[heard])
        shown = [name for _, _, found in heard.done for name in files_of(found)]
        names = [expected_name(proto, each, i, logits=logits) for i, each in enumerate(arrays)]
        assert shown == names
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)

    def test_the_largest_output_is_no_class(self) -> None:
        """A file name claims none where a dense layer may give landmarks."""
        explanation = load_model(models.conv_net(logits=True)).explain(random_samples(1)[0])
        assert explanation.output is not None
        largest = int(explanation.output.argmax())
        assert sample_stem(explanation, 4) == f"conv_net_sample-4_largest-{largest}"

    def test_label_in_the_middle(self, tmp_path: Path) -> None:
        proto = models.conv_net()
        arrays = random_samples(2)
        options = PlotOptions(tmp_path, ("npz",))
        plot_samples(load_model(proto), as_samples(arrays), options, labels=["cat"])
        assert {path.name for path in tmp_path.iterdir()} == {
            expected_name(proto, arrays[0], 0, logits=False, label="cat"),
            expected_name(proto, arrays[1], 1, logits=False),
        }

    def test_bad_samples_count_for_index_and_label(self, tmp_path: Path) -> None:
        proto = models.conv_net()
        arrays = random_samples(4)
        samples = as_samples(arrays)
        samples[1] = Sample("s1", {}, SampleError("broken"))
        samples[2] = Sample("s2", {"x": np.zeros((1, 3, 3), np.float32)})
        options = PlotOptions(tmp_path, ("npz",))
        plot_samples(load_model(proto), samples, options, labels=["a", "b", "c", "d"])
        assert {path.name for path in tmp_path.iterdir()} == {
            expected_name(proto, arrays[0], 0, logits=False, label="a"),
            expected_name(proto, arrays[3], 3, logits=False, label="d"),
        }

    def test_no_class_vector_no_prediction(self, tmp_path: Path) -> None:
        image_model = load_model(models.image_to_image_net())
        options = PlotOptions(tmp_path, ("npz",))
        plot_samples(image_model, as_samples(random_samples(2)), options, labels=["cat"])
        assert {path.name for path in tmp_path.iterdir()} == {
            "image_net_sample-0_label-cat.npz",
            "image_net_sample-1.npz",
        }

    @pytest.mark.parametrize("name", ["nan", "inf"])
    def test_no_finite_output_no_prediction(self, tmp_path: Path, model: Model, name: str) -> None:
        sample = Sample("s", {"x": np.full((1, 8, 6), float(name), np.float32)})
        plot_samples(model, [sample], PlotOptions(tmp_path, ("npz",)))
        assert [path.name for path in tmp_path.iterdir()] == ["conv_net_sample-0.npz"]

    def test_every_format_has_its_suffix(self, tmp_path: Path, model: Model) -> None:
        formats = ("png", "svg", "npz", "pdf", "dot", "tiles")
        options = PlotOptions(tmp_path, formats, "flat", scale_tiles=0.25)
        heard = Heard()
        plot_samples(model, as_samples(random_samples(1)), options, observers=[heard])
        shown = [name for _, _, found in heard.done for name in files_of(found)]
        stem = Path(shown[0]).stem
        assert shown == [
            f"{stem}{ending}" for ending in (".png", ".svg", ".npz", ".pdf", ".dot", "_tiles")
        ]
        assert all((tmp_path / name).exists() for name in shown)

    @pytest.mark.parametrize(
        ("label", "expected"),
        [
            ("cat", "cat"),
            ("great white shark", "great_white_shark"),
            ("../../etc/passwd", "etc_passwd"),
            ("/abs/olute", "abs_olute"),
            ('a\\b:c*d?e"f<g>h|i', "a_b_c_d_e_f_g_h_i"),
            ("line\nbreak\0nul", "line_break_nul"),
            ("-rf", "rf"),
            (".hidden", "hidden"),
            ("猫", "unnamed"),
            ("..", "unnamed"),
            ("x" * 500, "x" * 80),
        ],
    )
    def test_hostile_labels(self, tmp_path: Path, model: Model, label: str, expected: str) -> None:
        folder = tmp_path / "out"
        options = PlotOptions(folder, ("npz",))
        plot_samples(model, as_samples(random_samples(1)), options, labels=[label])
        (path,) = folder.iterdir()
        assert path.name.startswith(f"conv_net_sample-0_label-{expected}_pred-")
        assert list(tmp_path.iterdir()) == [folder]

    def test_hostile_model_names(self, tmp_path: Path) -> None:
        onnx.save(models.conv_net(), tmp_path / "my model (v2)!.onnx")
        found = load_model(tmp_path / "my model (v2)!.onnx").explain(random_samples(1)[0])
        assert sample_stem(found, 7).startswith("my_model_v2_sample-7_pred-")

    def test_stem_of_one_explanation(self, explanation: Explanation) -> None:
        assert explanation.prediction is not None
        found = explanation.prediction
        expected = f"conv_net_sample-12_pred-{found.index}-{found.probability:.4f}"
        assert sample_stem(explanation, 12) == expected

    @pytest.mark.parametrize(
        ("text", "stem"),
        [("", "unnamed"), ("a.b-c_d", "a.b-c_d"), ("a  b", "a_b"), ("é", "unnamed")],
    )
    def test_file_stem(self, text: str, stem: str) -> None:
        assert file_stem(text) == stem


class TestBadSamples:
    """A sample that fails is reported, the others go on."""

    def run(
        self, model: Model, samples: Sequence[Sample], folder: Path, **given: int
    ) -> tuple[RunSummary, list[Done]]:
        heard = Heard()
        options = PlotOptions(folder, ("npz",), batch_size=given.get("batch_size"))
        summary = plot_samples(model, samples, options, observers=[heard])
        return summary, heard.done

    @pytest.mark.parametrize("batch_size", [1, 2, 8])
    def test_unreadable_and_misshapen(self, tmp_path: Path, model: Model, batch_size: int) -> None:
        samples = as_samples(random_samples(5))
        samples[0] = Sample("s0", {}, SampleError("unreadable"))
        samples[3] = Sample("s3", {"x": np.zeros((1, 9, 9), np.float32)})
        summary, told = self.run(model, samples, tmp_path, batch_size=batch_size)
        assert written(told) == [1, 2, 4]
        assert (summary.written, summary.failed) == (3, 2)
        assert [(index, name) for index, name, _ in summary.failures] == [(0, "s0"), (3, "s3")]
        errors = {index: str(error) for index, _, error in summary.failures}
        assert errors[0] == "unreadable"
        assert "(1, 9, 9)" in errors[3]
        assert "(1, 8, 6)" in errors[3]
        assert sorted((index, name) for index, name, _ in told) == [
            (index, f"s{index}") for index in range(5)
        ]
        for index, _, result in told:
            assert isinstance(result, SampleError) == (index in (0, 3))
        assert exit_code(summary) == 1

    def test_samples_that_the_model_itself_refuses(self, tmp_path: Path) -> None:
        open_model = load_model(models.open_net())
        samples = as_samples(random_samples(4))
        samples[2] = Sample("s2", {"x": np.zeros((1, 20, 30), np.float32)})
        summary, told = self.run(open_model, samples, tmp_path)
        assert written(told) == [0, 1, 3]
        ((index, name, error),) = summary.failures
        assert (index, name) == (2, "s2")
        assert "onnxruntime cannot run x (1, 1, 20, 30)" in str(error)

    def test_one_refused_sample_does_not_spoil_its_batch(self, tmp_path: Path) -> None:
        """An index that is out of bounds fails in the middle of a batch of equal shapes."""
        rows = np.array([[0, 1, 2, 3], [4, 5, 99, 7], [8, 9, 0, 1]])
        samples = [Sample(f"s{index}", {"x": row}) for index, row in enumerate(rows)]
        summary, told = self.run(load_model(models.gather_net()), samples, tmp_path)
        assert written(told) == [0, 2]
        ((index, _, error),) = summary.failures
        assert index == 1
        assert "onnxruntime cannot run" in str(error)

    def test_missing_inputs(self, tmp_path: Path, model: Model) -> None:
        summary, _ = self.run(model, [Sample("s0", {})], tmp_path)
        assert "inputs are x" in str(summary.failures[0][2])

    def test_nothing_is_made_when_all_fail(self, tmp_path: Path, model: Model) -> None:
        folder = tmp_path / "out"
        samples = [Sample("a", {}, SampleError("bad")), Sample("b", {}, SampleError("worse"))]
        summary, told = self.run(model, samples, folder)
        assert not folder.exists()
        assert len(told) == 2
        assert exit_code(summary) == 2

    def test_samples_are_streamed(self, tmp_path: Path, model: Model) -> None:
        """Samples are taken as they are needed: a batch for each thread, and one that waits."""
        taken: list[int] = []
        heard = Heard()

        def stream() -> Iterator[Sample]:
            for sample in as_samples(random_samples(20)):
                taken.append(len(heard.samples))
                yield sample

        options = PlotOptions(tmp_path, ("npz",), batch_size=2)
        plot_samples(model, stream(), options, observers=[heard])
        assert [sample.index for sample in heard.samples] == list(range(20))
        # And at most one sample more, to see whether its shape goes on.
        most = 2 * (model.threads + 1) + 1
        assert all(index - done <= most for index, done in enumerate(taken))


class TestOutput:
    """Files that cannot be written."""

    @pytest.mark.parametrize("place", ["file", "file/below"])
    def test_a_folder_that_cannot_be_made(self, tmp_path: Path, model: Model, place: str) -> None:
        (tmp_path / "file").write_text("in the way")
        options = PlotOptions(tmp_path / place, ("npz",))
        with pytest.raises(OutputError, match=f"cannot write to folder .*{place}"):
            plot_samples(model, as_samples(random_samples(1)), options)
        assert (tmp_path / "file").read_text() == "in the way"

    def test_a_png_that_is_too_large_offers_svg_and_smaller_tiles(
        self, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", 1e5)
        folder = tmp_path / "out"
        options = PlotOptions(folder, ("png",))
        with pytest.raises(TooLargeError, match=r"megapixels.*SVG.*--scale-tiles 0\.\d+"):
            plot_samples(model, as_samples(random_samples(1)), options)
        assert not folder.exists()

    def test_a_png_that_is_too_large_does_not_stop_the_other_formats(
        self, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("micam_fast.diagrams.png_limit.LARGEST_PNG", 1e5)
        notes: list[str] = []

        class Notes:
            def finished(self, sample: RunSample) -> None:
                notes.append(sample.note)

        options = PlotOptions(tmp_path / "out", ("png", "npz", "svg"))
        with start_manifest(tmp_path / NAME, {}) as manifest:
            summary = plot_samples(
                model, as_samples(random_samples(2)), options, observers=[Notes()],
                journal=Journal(manifest, options.store),
            )  # fmt: skip
        made = sorted(path.suffix for path in (tmp_path / "out").iterdir())
        assert made == [".npz", ".npz", ".svg", ".svg"]
        assert (summary.written, summary.incomplete, summary.files) == (2, 2, 4)
        assert exit_code(summary) == 1
        assert notes[1].startswith("sample 1 (s1): its png was not written: the PNG would have ")
        for line in manifest_lines(tmp_path):
            assert [*line["refused"]] == ["png"]
            assert "write SVG instead" in line["refused"]["png"]
            assert [Path(name).suffix for name in line["files"]] == [".npz", ".svg"]
        # A run that goes on skips them, and the PNGs are still missing.
        with resume_manifest(tmp_path / NAME, {}) as manifest:
            journal = Journal(manifest, options.store)
            summary = plot_samples(model, as_samples(random_samples(2)), options, journal=journal)
        assert (summary.written, summary.resumed, summary.incomplete) == (0, 2, 2)
        assert exit_code(summary) == 1

    def test_no_partial_files_are_left(self, tmp_path: Path, model: Model) -> None:
        options = PlotOptions(tmp_path, ("npz", "svg"))
        plot_samples(model, as_samples(random_samples(2)), options)
        assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".svg"}

    def test_no_engine_leaves_nothing(self, tmp_path: Path) -> None:
        lost = load_model(models.conv_net(), engine=tmp_path / "no-such-dot")
        folder = tmp_path / "out"
        options = PlotOptions(folder, ("npz", "svg"))
        with pytest.raises(LayoutEngineError, match="pip install graphviz-pure"):
            plot_samples(lost, as_samples(random_samples(1)), options)
        assert not folder.exists()

    def test_npz_and_tiles_need_no_engine(self, tmp_path: Path) -> None:
        lost = load_model(models.conv_net(), engine=tmp_path / "no-such-dot")
        options = PlotOptions(tmp_path / "out", ("npz", "tiles"), "flat")
        summary = plot_samples(lost, as_samples(random_samples(1)), options)
        assert exit_code(summary) == 0


EXPLAINING = {"read samples", "forward pass", "maps", "colours"}


class TestSummary:
    """Exit codes and times."""

    def test_exit_codes(self) -> None:
        assert exit_code(RunSummary(written=1)) == 0
        assert exit_code(RunSummary(resumed=1)) == 0
        assert exit_code(RunSummary(written=1, failed=1)) == 1
        assert exit_code(RunSummary(resumed=1, failed=1)) == 1
        assert exit_code(RunSummary(failed=1)) == 2
        assert exit_code(RunSummary()) == 2

    @pytest.mark.parametrize("kind", [OutputError, LayoutEngineError, MicamError])
    def test_an_error_after_something_was_written(self, kind: type[MicamError]) -> None:
        assert exit_code(RunSummary(written=1), kind("stopped")) == 1
        assert exit_code(RunSummary(), kind("stopped")) == 2

    def test_times_of_the_stages(self, tmp_path: Path, model: Model) -> None:
        options = PlotOptions(tmp_path, ("svg", "npz"))
        summary = plot_samples(model, as_samples(random_samples(2)), options)
        assert set(summary.stages.seconds) == {"lay out", "write svg", "write npz", *EXPLAINING}
        assert all(0 < seconds < 60 for seconds in summary.stages.seconds.values())

    def test_a_summary_goes_on(self, tmp_path: Path, model: Model) -> None:
        summary = RunSummary()
        with summary.stages.stage("load the model"):
            pass
        found = plot_samples(
            model, as_samples(random_samples(1)), PlotOptions(tmp_path, ("npz",)), summary=summary
        )
        assert found is summary
        assert list(summary.stages.seconds)[:2] == ["load the model", "lay out"]
        assert set(summary.stages.seconds) > {"write npz", *EXPLAINING}


def test_a_sample_that_is_not_finite_is_written_and_told(tmp_path: Path) -> None:
    heard = Heard()
    model = micam_fast.load_model(models.conv_net())
    sample = Sample("bad.npy", {"x": np.full((1, 8, 6), np.nan, np.float32)})
    plot_samples(model, [sample], PlotOptions(tmp_path, ("npz",)), observers=[heard])
    (said,) = [sample.note for sample in heard.samples]
    assert said == "sample 0 (bad.npy): 7 of 7 layers are not finite and drawn hatched"
    assert len(list(tmp_path.iterdir())) == 1


def test_reading_counts_to_a_sample_s_seconds(tmp_path: Path, model: Model) -> None:
    """So that the slow ones are found."""
    heard = Heard()

    def slowly() -> Iterator[Sample]:
        for index, sample in enumerate(as_samples(random_samples(4))):
            time.sleep(0.2 if index == 2 else 0)
            yield sample

    plot_samples(model, slowly(), PlotOptions(tmp_path, ("npz",)), observers=[heard])
    seconds = [sample.seconds for sample in heard.samples]
    assert seconds[2] >= 0.2
    assert max(each for index, each in enumerate(seconds) if index != 2) < seconds[2]
