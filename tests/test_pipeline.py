"""The whole way in one directory: what it leaves, that finished work is found again, and that changes are noticed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from handover_facts import make
from small_study import STUDY, fpgaml, snapshot, without_compiler, write_study

from fpgaml.cli import main
from fpgaml.errors import AgreementError
from fpgaml.pipeline import check_agreement, describe_dataset
from fpgaml.study import Study

REPORT = ("report.html", "report.md", "summary.json", "figures/")
STAGES = ("run", "train", "convert", "csim", "report")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a study that has been run into ``output``, and what the command said. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, fpgaml("run", write_study(folder), "--output", folder / "output")


@pytest.fixture
def study(finished):
    """The study of the finished run."""
    return finished[0] / "study.yaml"


@pytest.fixture
def output(finished, tmp_path):
    """A copy of the finished run, free to be changed."""
    return shutil.copytree(finished[0] / "output", tmp_path / "output")


def arguments_of(stage, study, output):
    return [stage, str(study), "--output", str(output)] if stage in ("run", "train") else [stage, str(output)]


def json_only(text):
    """The value of ``text``, which must be JSON and nothing else: no NaN either."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_the_data_set_is_described(tmp_path):
    study = Study.load(write_study(tmp_path))
    dataset = study.task.load(study.data, progress=None)
    described = json_only(json.dumps(describe_dataset(study, dataset)))
    assert described["task"] == "file"
    assert described["sha256"] == dataset.sha256
    assert described["input_shape"] == [4]
    assert described["rate_khz"] is None
    assert described["events"] == {
        "train": {"signal": 180, "background": 180},
        "validation": {"signal": 60, "background": 60},
        "test": {"signal": 60, "background": 60},
    }
    assert described["targets"] == [{"kind": "background_efficiency", "value": value} for value in (0.1, 0.5)]


@pytest.mark.slow
def test_a_run_leaves_everything_and_says_only_the_report(finished):
    folder, done = finished
    output = folder / "output"
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # of TensorFlow, hls4ml and absl either
    assert done.stdout == (output / "report.md").read_text(encoding="utf-8") + "\n"

    (trial,) = (path.name for path in (output / "trials").iterdir())
    expected = {
        "study.yaml",
        "environment.json",
        "dataset.json",
        "events.npz",
        *(f"trials/{trial}/{name}.json" for name in ("architecture", "trained", "history_float", "history_qkeras")),
        f"trials/{trial}/scores.npz",
        f"hls_projects/{trial}/fpgaml.json",
        f"hls_projects/{trial}/firmware/small_network.cpp",
        f"csim/{trial}.npz",
        f"csim/{trial}.json",
        "summary.json",
        "report.md",
    }
    files = set(snapshot(output))
    assert expected <= files
    assert not [name for name in files if "/." in f"/{name}"]

    agreement = json_only((output / "csim" / f"{trial}.json").read_text(encoding="utf-8"))
    assert (agreement["events"], agreement["words"], agreement["mismatches"]) == (120, 120, 0)
    scores = np.load(output / "trials" / trial / "scores.npz")
    assert {name: scores[name].shape for name in scores.files} == dict.fromkeys(
        (f"{model}_{split}" for model in ("float", "qkeras") for split in ("validation", "test")), (120,)
    )
    assert np.array_equal(np.load(output / "csim" / f"{trial}.npz")["csim_test"], scores["qkeras_test"])
    command = json_only((output / "environment.json").read_text(encoding="utf-8"))["command"]
    assert command == f"fpgaml run {folder / 'study.yaml'} --output {output}"
    assert yaml.safe_load((output / "study.yaml").read_text(encoding="utf-8"))["train"]["seed"] == 1


@pytest.mark.slow
def test_a_run_leaves_a_project_that_checks_itself_wherever_it_is(finished, tmp_path):
    (project,) = (finished[0] / "output" / "hls_projects").iterdir()
    copied = shutil.copytree(project, tmp_path / "copied here")
    done = make(copied, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["words: 0 of 120 differ", "check: passed"]
    for path in project.rglob("*"):
        assert path.is_dir() or os.fsencode(finished[0]) not in path.read_bytes(), path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_finished_run_is_signed_later_and_its_report_has_what_tells_it_from_others(study, output, tmp_path, capsys):
    key, signers = tmp_path / "key", tmp_path / "signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    signers.write_text(f"alice {key.with_suffix('.pub').read_text(encoding='ascii')}", encoding="ascii")
    (project,) = (output / "hls_projects").iterdir()
    before = snapshot(project)
    assert main(["run", str(study), "--output", str(output), "--sign", str(key)]) == 0
    assert {**before, "certificate.json.sig": snapshot(project)["certificate.json.sig"]} == snapshot(project)
    (path, digest), *others = json_only((output / "summary.json").read_text(encoding="utf-8"))["certificates"].items()
    assert (output / path, others) == (project, [])
    for name in ("report.md", "report.html"):
        assert digest in (output / name).read_text(encoding="utf-8")
    assert "It is signed: `certificate.json.sig`." in (output / "report.md").read_text(encoding="utf-8")
    assert main(["verify", str(project), "--sha256", digest, "--signers", str(signers)]) == 0
    assert "signature: by alice, with ED25519 key SHA256:" in capsys.readouterr().out

    (project / "certificate.json.sig").unlink()
    assert main(["csim", str(output), "--sign", str(key)]) == 0
    assert main(["verify", str(project), "--signers", str(signers)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_finished_stage_is_not_repeated_and_json_is_only_json(capfd, study, output, stage):
    before = snapshot(output)
    assert main([*arguments_of(stage, study, output), "--json"]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert isinstance(json_only(said.out), dict)
    after = snapshot(output)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert all(name.startswith(REPORT) for name in changed)
    assert bool(changed) == (stage in ("run", "train", "report"))


@pytest.mark.slow
def test_a_report_alone_looks_into_the_layers(capsys, output):
    (profile,) = output.glob("trials/*/layers.json")
    seen = profile.read_bytes()
    profile.unlink()
    assert main(["report", str(output)]) == 0
    assert profile.read_bytes() == seen
    assert "over 120 validation events" in capsys.readouterr().out

    profile.unlink()  # and the data are gone
    study = output / "study.yaml"
    study.write_text(study.read_text(encoding="utf-8").replace("events.csv", "gone.csv"), encoding="utf-8")
    assert main(["report", str(output)]) == 0
    report = capsys.readouterr().out
    assert "Only weights are shown, because of this:" in report
    assert "gone.csv" in report
    assert "| dense_1 weights |" in report
    assert not profile.exists()


@pytest.mark.slow
def test_the_same_study_and_seed_give_the_same_weights_and_scores(study, output, tmp_path):
    # Written with choices, this time: the choices that are made are the same network.
    text = STUDY.replace("units: 4", "units: $units").replace("learning_rate: 0.01", "learning_rate: $rate")
    other = tmp_path / "choices.yaml"
    text = text.replace("events.csv", os.fspath(study.parent / "events.csv"))
    other.write_text(f"{text}choices: {{units: [3, 4], rate: [1e-2, 0.1]}}\n", encoding="utf-8")
    again = tmp_path / "again"
    done = fpgaml("train", other, "--output", again, "--choose", "units=4", "--choose", "rate=0.01", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json_only(done.stdout)["winner"]["choices"] == {"units": 4, "rate": 0.01}
    assert json_only(done.stdout)["signal_efficiency"]["csim"] is None

    (first,), (second,) = (list((path / "trials").iterdir()) for path in (output, again))
    assert first.name == second.name
    for name in ("weights_float.npz", "weights_qkeras.npz", "scores.npz"):
        ours, theirs = np.load(first / name), np.load(second / name)
        assert ours.files == theirs.files
        for key in ours.files:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    for name in ("history_float.json", "history_qkeras.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()

    # The directory is now that of this network, and the stages know which without being told.
    assert main(["run", str(other), "--output", str(again), "--choose", "units=3", "--choose", "rate=0.01"]) == 2
    assert main(["convert", str(again)]) == 0
    assert (again / "hls_projects" / second.name / "fpgaml.json").exists()


@pytest.mark.slow
def test_an_edited_project_fails_its_csim(capsys, study, output):
    (project,) = (output / "hls_projects").iterdir()
    weights = project / "firmware" / "weights" / "w3.txt"
    first, rest = weights.read_text(encoding="utf-8").split(",", 1)
    weights.write_text(f"{float(first) + 1 / 32},{rest}", encoding="utf-8")  # one step of its type

    assert main(["csim", str(output), "--json"]) == 1  # although an agreement of the project as it was is there
    said = capsys.readouterr()
    found = json_only(said.out)
    assert 0 < found["mismatches"] <= found["words"] == 120
    difference = found["first_difference"]
    assert difference["layer"] == "dense_1"
    assert difference["lsb"] != 0
    assert said.err.startswith(f"fpgaml: {output}: C simulation and model differ in {found['mismatches']} of 120 words")
    for part in (f"event {difference['event']}", "layer dense_1", f"by {difference['lsb']:g} LSB"):
        assert part in said.err

    assert main(["run", str(study), "--output", str(output)]) == 1
    assert "DISAGREE" in (output / "report.md").read_text(encoding="utf-8")
    assert "layer dense_1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("remove", "stage", "part"),
    [
        ("hls_projects", "csim", "nothing has been converted. `fpgaml convert"),
        ("trials", "convert", "nothing has been trained. `fpgaml train"),
        ("study.yaml", "convert", "holds no run. `fpgaml train"),
    ],
)
def test_a_stage_names_the_one_that_it_needs(capsys, output, remove, stage, part):
    path = output / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = snapshot(output)
    assert main([stage, str(output)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert part in said.err
    assert snapshot(output) == before


@pytest.mark.slow
def test_csim_needs_a_compiler(capsys, output, tmp_path, monkeypatch):
    shutil.rmtree(output / "csim")
    monkeypatch.setenv("PATH", without_compiler(tmp_path / "empty"))
    assert main(["csim", str(output)]) == 2
    assert "g++" in capsys.readouterr().err
    assert not (output / "csim").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["run", "csim"])
def test_data_that_changed_since_are_noticed(capsys, tmp_path, output, stage):
    study = write_study(tmp_path)
    dumped = Study.load(study).dump()
    (output / "study.yaml").write_text(dumped, encoding="utf-8")  # the same data, in another place
    events = tmp_path / "events.csv"
    events.write_text(events.read_text(encoding="utf-8").replace("\n", "\n1,2,3,4,g\n", 1), encoding="utf-8")
    shutil.rmtree(output / "csim")
    before = snapshot(output)
    assert main(arguments_of(stage, study, output)) == 2
    assert "was begun with other data" in capsys.readouterr().err
    assert snapshot(output) == before


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_no_half_project(output):
    shutil.rmtree(output / "hls_projects")
    before = snapshot(output)
    limit = 20_000  # bytes in a file: enough for everything but some of hls4ml's headers
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))}
    done = fpgaml("convert", output, **full)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fpgaml: {output}/hls_projects/")
    assert "cannot be written: File too large" in done.stderr
    assert snapshot(output) == before

    done = fpgaml("convert", output)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_damaged_files_are_named_and_made_again_when_they_are_removed(study, output, capsys):
    """No kill leaves such files, but disks fail, and people edit."""
    (trial,) = (path.name for path in (output / "trials").iterdir())
    names = (
        *("dataset.json", "environment.json", "events.npz", f"csim/{trial}.npz", f"csim/{trial}.json"),
        *(f"trials/{trial}/{name}" for name in ("scores.npz", "weights_qkeras.npz", "trained.json")),
    )
    found, project = snapshot(output), output / "hls_projects" / trial
    for name in names:
        content = (output / name).read_bytes()
        (output / name).write_bytes(content[: len(content) // 2])
        command = "convert" if "weights" in name else "report"  # which does without weights, and says so
        if command == "convert":
            (project / "fpgaml.json").rename(project / "kept.json")
        assert main([command, str(output)]) == 2
        error = capsys.readouterr().err
        assert f"{output / name}: cannot be read as" in error
        assert "remove it, and the command that wrote it writes it again" in error
        if command == "convert":
            (project / "kept.json").rename(project / "fpgaml.json")
        (output / name).write_bytes(content)
    for name in names:
        (output / name).unlink()
    assert main(arguments_of("run", study, output)) == 0
    remade = snapshot(output)
    assert {remade[name][1] for name in names if name.endswith(".npz")} == {
        found[name][1] for name in names if name.endswith(".npz")
    }
    assert remade.keys() == found.keys()


@pytest.mark.slow
def test_interruptions_of_a_single_network_leave_nothing_half_and_finished_stages_are_kept(tmp_path):
    """Its own stages, to the project; later ones are those of a winner, and interrupted with its tests."""
    study, output, cache = write_study(tmp_path), tmp_path / "output", tmp_path / "cache"
    environment = {**os.environ, "FPGAML_CACHE_DIR": str(cache)}

    def run_until(line, number):
        """Run until it logs a line with this text, and send a signal; what else it said."""
        command = [sys.executable, "-m", "fpgaml.cli", "-v", *arguments_of("run", study, output)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert any(line in said for said in process.stderr), f"never said {line!r}"
            process.send_signal(number)
            printed, said = process.communicate()
        assert printed == ""
        assert "Traceback" not in said
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 128 + number
            assert said.endswith(
                "fpgaml: interrupted. What was finished is kept: the same command goes on from there\n"
            )
            assert not [path for path in tmp_path.rglob(".*") if path.name != ".gitignore"]

    kept = {}
    for line, number, left in (
        ("stages: data", signal.SIGINT, ""),
        ("float twin: epoch 1", signal.SIGKILL, "dataset.json"),
        ("QKeras: epoch 1", signal.SIGTERM, "trials/*/float.json"),
        ("stages: HLS project", signal.SIGINT, "trials/*/scores.npz"),
    ):
        run_until(line, number)
        assert not left or list(output.glob(left)), line
        found = snapshot(output)
        assert kept.items() <= found.items(), line  # nothing that was finished has been made again
        kept = {name: state for name, state in found.items() if not name.startswith((*REPORT, "."))}
    done = fpgaml("run", study, "--output", output, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    found = snapshot(output)
    assert kept.items() <= found.items()
    assert not [name for name in found if name.startswith(".") or "/." in name]
    assert json_only((output / "summary.json").read_text(encoding="utf-8"))["csim"]["mismatches"] == 0
    assert Path(output / "report.md").exists()


def test_an_interpreter_that_differs_is_no_agreement(tmp_path):
    found = {"events": 10, "words": 10, "mismatches": 0, "first_difference": None}
    check_agreement(found, tmp_path)
    check_agreement({**found, "interpreter_mismatches": 0}, tmp_path)
    with pytest.raises(AgreementError, match=r"interpreter of the circuit differs in 3 of 10 words"):
        check_agreement({**found, "interpreter_mismatches": 3}, tmp_path)
