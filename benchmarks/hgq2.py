"""Signal efficiency against LUTs: fpgaml's networks of free widths beside HGQ2's, on the same events, by the same flow.

    python benchmarks/hgq2.py --data magic04.data --environment DIR [--output DIR] [--json FILE] [--figure FILE]
                              [--markdown FILE]

ours: the study --study is searched, the front of validation score against EBOPs is taken, each member is trained with
every seed of --seeds, and the seed that is best on validation events is traced.
HGQ2: hgq2_train.py runs in an environment of its own, which is made in --environment from PyPI if nothing is there,
because HGQ2 ships a package called `qkeras` that must never meet the other one. It trains networks of the shapes
--units on the same events, with growing pressure on their EBOPs, and traces some of each front.
Both: da4ml's circuit, Verilog pipelined for the clock of the study, Yosys for its part. Scores are the circuit's own,
on all validation and test events; the threshold stands on validation hadrons, the efficiency on test gammas, and the
interval knows both. What is finished in --output is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import yaml

from fpgaml.backends._rtl_netlist import family_of, synthesize_verilog, write_verilog
from fpgaml.cost import cost
from fpgaml.dataset import SPLITS, Dataset
from fpgaml.drawing import drawing, write
from fpgaml.environment import describe_environment, load_tensorflow
from fpgaml.errors import ToolError
from fpgaml.evaluation import Events, Scores, evaluate
from fpgaml.fixed_point import FixedPoint
from fpgaml.metrics import Target
from fpgaml.search import search
from fpgaml.study import Study
from fpgaml.train import TrainedModel, train

HERE = Path(__file__).parent
PACKAGES = ("HGQ2==0.2.0", "da4ml==0.5.2", "keras==3.15.1", "jax[cpu]==0.10.2", "numpy==2.4.6")
GRID = FixedPoint.from_qkeras(12, 4)
"""What HGQ2's inputs are given on: the input format of magic_mlp.yaml."""
STUDIES = [HERE / "hgq2_magic.yaml", HERE / "hgq2_magic_large.yaml", HERE / "hgq2_magic_seven.yaml"]
SHOWN = ((0.1, "10 %"), (0.01, "1 %"))
LOOKS = {"fpgaml": ("o", "tab:blue"), "HGQ2": ("s", "tab:orange")}


def main() -> None:
    """Train both, synthesize both, judge both; print, write and draw."""
    options = _options()
    environment = describe_environment(seed=options.seeds[0], command=" ".join(["python", *sys.argv]))
    with tempfile.TemporaryDirectory() as temporary:
        output = (options.output or Path(temporary)).resolve()
        output.mkdir(parents=True, exist_ok=True)
        studies = [write_study(path, options.data, output) for path in options.study]
        dataset = studies[0].dataset()
        made = [*hgq2_networks(options, dataset, output), *our_networks(options, studies, output)]
        rows = [row for network in made if (row := judged(studies[0], dataset, network, options))]
    rows.sort(key=lambda row: (row["method"], row["lut"]))
    print(table(rows, "plain"))
    if options.markdown:
        options.markdown.write_text(table(rows, "markdown") + "\n", encoding="utf-8")
    if options.json:
        content = {"environment": environment, "options": vars(options), "networks": rows}
        options.json.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    if options.figure:
        draw(rows, options.figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="MAGIC's, see magic_mlp.yaml")
    parser.add_argument("--environment", type=Path, required=True, metavar="DIR", help="with HGQ2; made if not there")
    parser.add_argument("--study", type=Path, nargs="+", default=STUDIES, metavar="FILE")
    parser.add_argument(
        "--search", type=Path, nargs="+", metavar="DIR", help="where `fpgaml search` has searched each study"
    )
    parser.add_argument("--members", type=int, default=8, metavar="N", help="of each front")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of our members' last trainings")
    parser.add_argument("--last-epochs", type=int, metavar="N", help="of those trainings; default: the study's")
    parser.add_argument("--workers", type=int, metavar="N", help="of the search")
    parser.add_argument(
        "--units", nargs="+", default=["64,32", "32,16", "16,8"], metavar="N,N", help="HGQ2's hidden layers"
    )
    parser.add_argument("--epochs", type=int, default=600, metavar="N", help="of each HGQ2 training")
    parser.add_argument("--beta", type=float, nargs=2, default=[3e-6, 2e-4], metavar=("FIRST", "LAST"))
    parser.add_argument("--cycle", type=int, default=100, metavar="N", help="epochs of a cosine of its learning rate")
    parser.add_argument(
        "--largest", type=int, default=10_000, metavar="N", help="bits of adders, by da4ml; larger ones are left out"
    )
    parser.add_argument("--finished", action="store_true", help="leave out what is not synthesized yet in --output")
    parser.add_argument("--timeout-s", type=float, default=1800, metavar="S", help="for Yosys, each network")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keeps everything, and goes on from there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw both fronts")
    return parser.parse_args()


def write_study(path: Path, data: Path, output: Path) -> Study:
    """The study with the path of the data, as a file in ``output``."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["data"]["path"] = str(data.resolve())
    path = output / path.name
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Study.load(path)


def our_networks(options: argparse.Namespace, studies: Sequence[Study], output: Path) -> Iterator[dict[str, Any]]:
    """The fronts of the searches, trained to the end, as circuits."""
    load_tensorflow()
    first = studies[0].dataset()
    for number, study in enumerate(studies):
        dataset = study.dataset()
        if not all(np.array_equal(getattr(dataset, name), getattr(first, name)) for name in ("y", "split")):
            raise SystemExit(
                f"{study.name}: its events are not those of {studies[0].name}, or are split in another way"
            )
        found = search_result(options.search[number] if options.search else None, study, dataset, output, options)
        for trial in spread(found["pareto_front"], options.members):
            place = output / "fpgaml" / trial["trial"]
            if not (place / "network.json").exists():
                facts = our_network(study, dataset, trial, options, place)
                facts |= {"study": study.name, "search_epochs": found["epochs"], "search_trials": found["trials"]}
                (place / "network.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            yield {"method": "fpgaml", "place": place, **json.loads((place / "network.json").read_text("utf-8"))}


def our_network(
    study: Study, dataset: Dataset, trial: Mapping[str, Any], options: argparse.Namespace, place: Path
) -> dict[str, Any]:
    """One of them: trained, traced, and its scores compared with QKeras'."""
    from fpgaml.backends._rtl_trace import trace_network

    trained = trained_member(study, dataset, trial, options, place)
    logic = trace_network(trained.firmware, trained.quantized_weights).network()
    logic.save(place / "logic.json")
    return {
        "network": trial["trial"],
        "units": [trial["choices"]["units_1"], trial["choices"]["units_2"]],
        "choices": dict(trial["choices"]),
        "ebops": cost(trained.firmware, trained.quantized_weights).ebops,
        "zero_weights": int(sum((layer["kernel"] == 0).sum() for layer in trained.quantized_weights.values())),
        "seed": trained.seed,
        "last_epochs": len(trained.history["loss"]),
        "training_s": trained.wall_s,
        "words_compared": save_scores(logic, trained, dataset, place),
    }


def search_result(
    searched: Path | None, study: Study, dataset: Dataset, output: Path, options: argparse.Namespace
) -> Mapping[str, Any]:
    """Front, trials and epochs of the search, which is run first unless it is given."""
    if searched:
        content: Mapping[str, Any] = json.loads((searched / "search.json").read_text(encoding="utf-8"))
        return content
    found = search(study, dataset, output / study.name, workers=options.workers)
    front = [{"trial": t.trial, "choices": dict(t.choices), "cost": dict(t.cost)} for t in found.front]
    return {"pareto_front": front, "trials": len(found.trials), "epochs": found.epochs}


def spread(front: Sequence[Mapping[str, Any]], n: int) -> list[Mapping[str, Any]]:
    """At most ``n`` of the front, about evenly apart in the logarithm of their EBOPs; the cheapest first."""
    if len(front) <= n:
        return list(front)
    logs = np.log([trial["cost"]["ebops"] for trial in front])
    chosen = {int(np.argmin(abs(logs - at))) for at in np.linspace(logs[0], logs[-1], n)}
    return [front[position] for position in sorted(chosen)]


def trained_member(
    study: Study, dataset: Dataset, trial: Mapping[str, Any], options: argparse.Namespace, place: Path
) -> TrainedModel:
    """The training that is best on validation events, at the search's working points."""
    point, validation = study.point(trial["choices"]), dataset.part("validation")
    best: tuple[float, TrainedModel] | None = None
    for seed in options.seeds:
        changed = {"seed": seed, "epochs": options.last_epochs or point.train.epochs}
        trained = train(point.architecture, dataset, point.train.model_copy(update=changed))
        scores = trained.predict(validation.x)[:, 0]
        value = float(np.mean([_efficiency(scores, validation.y, study.targets[0], m) for m in (0.5, 1.0, 2.0)]))
        if best is None or value > best[0]:
            best = value, trained
    assert best is not None
    best[1].save(place)
    return best[1]


def _efficiency(scores: Any, y: Any, target: Target, multiple: float) -> float:
    from fpgaml.metrics import choose_working_point

    point = choose_working_point(scores[y == 0], kind=target.kind, target=multiple * target.value)
    return float((scores[y == 1] >= point.threshold).mean())


def save_scores(logic: Any, trained: TrainedModel, dataset: Dataset, place: Path) -> int:
    """The circuit's scores of validation and test events; how many were compared with QKeras', with no difference."""
    columns = {}
    for split in SPLITS[1:]:
        x = dataset.part(split).x
        words = trained.firmware.input_format.format.quantize(x.reshape(len(x), -1))
        columns[split] = np.asarray(logic.predict(words)).ravel()
        different = int((columns[split] != trained.predict(x)[:, 0]).sum())
        if different:
            raise ToolError(f"{place}: {different} of {len(x)} {split} scores of the circuit differ from QKeras'")
    np.savez(place / "scores.npz", **columns)  # type: ignore[arg-type]  # numpy's stubs miss plain keyword arrays
    return sum(map(len, columns.values()))


def hgq2_networks(options: argparse.Namespace, dataset: Dataset, output: Path) -> Iterator[dict[str, Any]]:
    """HGQ2's networks of every shape, as circuits, with their scores."""
    python = hgq2_python(options.environment)
    inputs = output / "data.npz"
    columns: dict[str, Any] = {}
    for split in SPLITS:
        part = dataset.part(split)
        columns |= {f"x_{split}": GRID.quantize(part.x).astype(np.float32), f"y_{split}": part.y}
    np.savez(inputs, **columns)
    for units in options.units:
        shape = output / "hgq2" / units.replace(",", "-")
        if not (shape / "networks.json").exists():
            sizes = ["--epochs", str(options.epochs), "--beta", *map(str, options.beta)]
            sizes += ["--cycle", str(options.cycle)]
            command = [str(python), str(HERE / "hgq2_train.py"), "--data", str(inputs), "--output", str(shape)]
            # -E and an empty path: nothing of this environment may be seen from the other.
            subprocess.run(
                [command[0], "-E", *command[1:], "--units", *units.split(","), *sizes],
                check=True,
                env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            )
        for facts in json.loads((shape / "networks.json").read_text(encoding="utf-8")):
            place = shape / facts["network"]
            place.mkdir(exist_ok=True)
            yield {"method": "HGQ2", "place": place, **facts}


def hgq2_python(directory: Path) -> Path:
    """The other environment's Python; the environment is made, from PyPI, where there is none."""
    python = directory.resolve() / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", *PACKAGES], check=True)
    return python


def judged(
    study: Study, dataset: Dataset, network: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Any] | None:
    """The network's efficiencies with intervals, and its resources after synthesis; None if it is too large."""
    from da4ml.cmvm.types import CombLogic

    place: Path = network["place"]
    ours = network["method"] == "fpgaml"
    logic = CombLogic.load(place / "logic.json" if ours else place.with_suffix(".json"))
    if logic.cost > options.largest:
        print(f"{place}: {logic.cost:.0f} bits of adders, not synthesized (--largest {options.largest})")
        return None
    with np.load(place / "scores.npz" if ours else place.with_suffix(".npz")) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    if not ours:  # the circuit as it was read here, on the words that were given to it there
        for split in SPLITS[1:]:
            if not np.array_equal(np.asarray(logic.predict(columns[f"x_{split}"])).ravel(), columns[split]):
                raise ToolError(f"{place}: the circuit gives other scores here than where it was traced")
    hardware = study.point(next(iter(study.grid()))).hardware
    resources = place / "resources.json"
    if not resources.exists() and options.finished:
        print(f"{place}: {logic.cost:.0f} bits of adders, not synthesized yet")
        return None
    if not resources.exists():
        started = time.perf_counter()
        write_verilog(logic, place, "network", clock_period_ns=hardware.clock_period_ns)
        found = synthesize_verilog(place, "network", family=family_of(hardware.part), timeout_s=options.timeout_s)
        content = {**found.to_json(), "wall_s": time.perf_counter() - started}
        resources.write_text(json.dumps(content, indent=1), encoding="utf-8")
    taken = json.loads(resources.read_text(encoding="utf-8"))
    scores = {"qkeras": Scores(**{split: columns[split] for split in SPLITS[1:]})}
    evaluation = evaluate(Events.of(dataset), scores, study.targets)
    return {
        **{key: value for key, value in network.items() if key != "place"},
        **{key: taken[key] for key in ("origin", "lut", "ff", "dsp", "latency_cycles", "latency_ns", "wall_s")},
        "adder_bits": logic.cost,
        "auc": evaluation.auc["qkeras"],
        "efficiencies": [
            {
                "background_efficiency": target.value,
                "signal_efficiency": evaluation.performance("qkeras", target).signal_efficiency.to_json(),
                "achieved": evaluation.performance("qkeras", target).achieved.to_json(),
            }
            for target in study.targets
        ],
    }


def at(row: Mapping[str, Any], target: float) -> Mapping[str, float]:
    """The signal efficiency at a background efficiency, with its interval."""
    (found,) = (e for e in row["efficiencies"] if e["background_efficiency"] == target)
    value: Mapping[str, float] = found["signal_efficiency"]
    return value


def table(rows: Sequence[Mapping[str, Any]], style: str) -> str:
    """The networks for people, or as Markdown for the documentation."""
    header = ["method", "units", "LUT", "FF", "DSP", "ns", "EBOPs", *(f"at {text}" for _, text in SHOWN), "AUC"]
    cells = [
        [
            row["method"],
            "-".join(map(str, row["units"])),
            *(f"{row[name]:,}" for name in ("lut", "ff", "dsp")),
            f"{row['latency_ns']:g}",
            f"{row['ebops']:,.0f}",
            *(f"{e['value']:.3f} [{e['low']:.3f}, {e['high']:.3f}]" for e in (at(row, t) for t, _ in SHOWN)),
            f"{row['auc']:.4f}",
        ]
        for row in rows
    ]
    if style == "markdown":
        return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *cells])
    widths = [max(len(line[column]) for line in [header, *cells]) for column in range(len(header))]
    return "\n".join("  ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)) for line in [header, *cells])


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Both fronts at both background efficiencies, LUTs on a logarithmic axis; 68 % intervals."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    with drawing(None) as axes:
        for target, text in SHOWN:
            for method, (marker, colour) in LOOKS.items():
                drawn = [(row["lut"], at(row, target)) for row in rows if row["method"] == method and row["lut"]]
                if not drawn:
                    continue
                values = np.array([(lut, e["value"], e["low"], e["high"]) for lut, e in drawn]).T
                axes.errorbar(
                    values[0],
                    values[1],
                    yerr=[values[1] - values[2], values[3] - values[1]],
                    color=colour,
                    marker=marker,
                    markersize=9,
                    markerfacecolor=colour if target == SHOWN[0][0] else "white",
                    linestyle="none",
                    capsize=3,
                    label=f"{method}, {text} of hadrons pass",
                )
                best = np.maximum.accumulate(values[1])  # rows come with rising LUTs
                axes.step(values[0], best, where="post", color=colour, alpha=0.5, linewidth=1.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("LUTs (Yosys, before place and route)")
        axes.set_ylabel("Signal efficiency")
        axes.legend(fontsize="x-small", loc="best")
        write(axes, path)


if __name__ == "__main__":
    main()
