"""Signal efficiency against LUTs: fpgaml's networks of free widths beside HGQ2's, on the same events, by the same flow.

    python benchmarks/hgq2.py --data magic04.data --environment DIR [--output DIR] [--json FILE] [--figure FILE]
                              [--markdown FILE]

ours: the study --study is searched, and every member of the front of validation score against predicted LUTs is
trained with every seed of --seeds.
HGQ2: hgq2_train.py runs in an environment of its own, which is made in --environment from PyPI if nothing is there,
because HGQ2 ships a package called `qkeras` that must never meet the other one. It trains networks of the shapes
--units, with every seed, on the same events, with growing pressure on their EBOPs, and traces some of each front.
Both: da4ml's circuits. Of each method those are taken that no other beats in both efficiency on validation events and
bits of adders, and --members of them, evenly apart, become Verilog, pipelined for the clock of the study, and Yosys'
netlist for its part. Scores are the circuit's own, on all validation and test events; the threshold stands on
validation hadrons, the efficiency on test gammas, and the interval knows both. What is finished in --output is not
done again.
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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from fpgaml.hardware import Hardware
from fpgaml.pareto import pareto_front
from fpgaml.search import search
from fpgaml.study import Study
from fpgaml.train import TrainedModel, train
from fpgaml.validation import Validated

HERE = Path(__file__).parent
PACKAGES = ("HGQ2==0.2.0", "da4ml==0.5.2", "keras==3.15.1", "jax[cpu]==0.10.2", "numpy==2.4.6")
GRID = FixedPoint.from_qkeras(12, 4)
"""What HGQ2's inputs are given on: the input format of magic_mlp.yaml."""
SHOWN = ((0.1, "10 %"), (0.01, "1 %"))
LOOKS = {"fpgaml": ("o", "tab:blue"), "HGQ2": ("s", "tab:orange")}


def main() -> None:
    """Train both, choose of both, synthesize both, judge both; print, write and draw."""
    options = _options()
    environment = describe_environment(seed=options.seeds[0], command=" ".join(["python", *sys.argv]))
    with tempfile.TemporaryDirectory() as temporary:
        output = (options.output or Path(temporary)).resolve()
        output.mkdir(parents=True, exist_ok=True)
        study = write_study(options, output)
        dataset = study.dataset()
        made = {
            "HGQ2": hgq2_networks(options, dataset, output),
            "fpgaml": our_networks(options, study, dataset, output),
        }
        chosen = [network for networks in made.values() for network in front(networks, options.members)]
        hardware = study.point(next(iter(study.grid()))).hardware
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(lambda network: synthesize(network["place"], hardware, options.timeout_s), chosen))
        rows = [judged(study, dataset, network) for network in chosen]
    rows.sort(key=lambda row: (row["method"], row["lut"]))
    effort = [effort_of(method, networks) for method, networks in made.items()]
    ratios = {text: luts_at_equal_efficiency(rows, target) for target, text in SHOWN}
    print(table(rows, "plain"), *map(describe_effort, effort), *map(describe_ratio, ratios.items()), sep="\n")
    if options.markdown:
        options.markdown.write_text(table(rows, "markdown") + "\n", encoding="utf-8")
    if options.json:
        content = {
            "environment": environment,
            "options": vars(options),
            "effort": effort,
            "lut_ratios": ratios,
            "networks": rows,
        }
        options.json.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
    if options.figure:
        draw(rows, options.figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="MAGIC's, see magic_mlp.yaml")
    parser.add_argument("--environment", type=Path, required=True, metavar="DIR", help="with HGQ2; made if not there")
    parser.add_argument("--study", type=Path, default=HERE / "hgq2_magic.yaml", metavar="FILE")
    parser.add_argument("--split", type=int, default=1, metavar="SEED", help="of the events into three parts")
    parser.add_argument("--members", type=int, default=12, metavar="N", help="of each front that are synthesized")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of HGQ2's trainings, and of our last")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="trainings and syntheses at a time")
    parser.add_argument(
        "--units", nargs="+", default=["64,32", "32,16", "16,8"], metavar="N,N", help="HGQ2's hidden layers"
    )
    parser.add_argument("--epochs", type=int, default=600, metavar="N", help="of each HGQ2 training")
    parser.add_argument("--beta", type=float, nargs=2, default=[3e-6, 2e-4], metavar=("FIRST", "LAST"))
    parser.add_argument("--cycle", type=int, default=100, metavar="N", help="epochs of a cosine of its learning rate")
    parser.add_argument("--timeout-s", type=float, default=1800, metavar="S", help="for Yosys, each network")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keeps everything, and goes on from there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw both fronts")
    return parser.parse_args()


def write_study(options: argparse.Namespace, output: Path) -> Study:
    """The study with the path of the data and the seed of the split, as a file in ``output``."""
    content = yaml.safe_load(options.study.read_text(encoding="utf-8"))
    content["data"]["path"] = str(options.data.resolve())
    content["data"]["split"]["seed"] = options.split
    path: Path = output / options.study.name
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Study.load(path)


def our_networks(options: argparse.Namespace, study: Study, dataset: Dataset, output: Path) -> list[dict[str, Any]]:
    """The front of the search, every member trained to the end with every seed, as circuits."""
    load_tensorflow()
    found = search_result(study, dataset, output, options)
    networks = []
    for trial in found["pareto_front"]:
        for seed in options.seeds:
            place = output / "fpgaml" / f"{trial['trial']}_{seed}"
            if not (place / "network.json").exists():
                facts = our_network(study, dataset, trial, seed, place)
                facts |= {name: found[name] for name in ("search_epochs", "search_trials", "search_s")}
                (place / "network.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            facts = json.loads((place / "network.json").read_text("utf-8"))
            networks.append({"method": "fpgaml", "place": place, **facts})
    return networks


def our_network(study: Study, dataset: Dataset, trial: Mapping[str, Any], seed: int, place: Path) -> dict[str, Any]:
    """One of them: trained, traced, and its scores compared with QKeras'."""
    from fpgaml.backends._rtl_trace import trace_network

    point = study.point(trial["choices"])
    trained = train(point.architecture, dataset, point.train.model_copy(update={"seed": seed}))
    trained.save(place)
    logic = trace_network(trained.firmware, trained.quantized_weights).network()
    logic.save(place / "logic.json")
    compared = save_scores(logic, trained, dataset, place)
    validation = dataset.part("validation")
    judged_validation = Validated(scores=trained.predict(validation.x)[:, 0], y=validation.y, target=study.targets[0])
    return {
        "network": trial["trial"],
        "units": [trial["choices"][name] for name in ("units_1", "units_2")],
        "choices": dict(trial["choices"]),
        "ebops": cost(trained.firmware, trained.quantized_weights).ebops,
        "adder_bits": logic.cost,
        "validation": judged_validation.metrics()["signal_efficiency_smooth"],
        "zero_weights": int(sum((layer["kernel"] == 0).sum() for layer in trained.quantized_weights.values())),
        "seed": seed,
        "last_epochs": len(trained.history["loss"]),
        "training_s": trained.wall_s,
        "words_compared": compared,
    }


def search_result(study: Study, dataset: Dataset, output: Path, options: argparse.Namespace) -> Mapping[str, Any]:
    """Front, trials, epochs and seconds of the search; the seconds are those of the call that finished it."""
    place = output / "search.json"
    if not place.exists():
        found = search(study, dataset, output / study.name, workers=options.workers)
        front = [{"trial": t.trial, "choices": dict(t.choices), "cost": dict(t.cost)} for t in found.front]
        content = {"search_trials": len(found.trials), "search_epochs": found.epochs, "search_s": found.wall_s}
        place.write_text(json.dumps({"pareto_front": front, **content}, indent=1), encoding="utf-8")
    result: Mapping[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return result


def front(networks: Sequence[Mapping[str, Any]], n: int) -> list[Mapping[str, Any]]:
    """Of the networks that no other beats in both validation efficiency and bits of adders, at most ``n``.

    They are about evenly apart in the logarithm of the bits; the cheapest first.
    """
    found = [
        networks[place]
        for place in pareto_front([each["validation"] for each in networks], [each["adder_bits"] for each in networks])
    ]
    if len(found) <= n:
        return found
    logs = np.log([each["adder_bits"] for each in found])
    chosen = {int(np.argmin(abs(logs - at))) for at in np.linspace(logs[0], logs[-1], n)}
    return [found[position] for position in sorted(chosen)]


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


def hgq2_networks(options: argparse.Namespace, dataset: Dataset, output: Path) -> list[dict[str, Any]]:
    """HGQ2's networks of every shape and seed, as circuits, with their scores."""
    from da4ml.cmvm.types import CombLogic

    python = hgq2_python(options.environment)
    inputs = output / "data.npz"
    columns: dict[str, Any] = {}
    for split in SPLITS:
        part = dataset.part(split)
        columns |= {f"x_{split}": GRID.quantize(part.x).astype(np.float32), f"y_{split}": part.y}
    np.savez(inputs, **columns)
    wanted = [
        (units, seed, output / "hgq2" / f"{units.replace(',', '-')}_{seed}")
        for units in options.units
        for seed in options.seeds
    ]
    sizes = ["--epochs", str(options.epochs), "--beta", *map(str, options.beta), "--cycle", str(options.cycle)]

    def finish(training: tuple[str, int, Path]) -> None:
        units, seed, place = training
        if (place / "networks.json").exists():
            return
        # -E and no paths: nothing of this environment may be seen from the other.
        command = [str(python), "-E", str(HERE / "hgq2_train.py"), "--data", str(inputs), "--output", str(place)]
        subprocess.run(
            [*command, "--units", *units.split(","), "--seed", str(seed), *sizes],
            check=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        )

    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(finish, wanted))
    networks = []
    for _, _, directory in wanted:
        for facts in json.loads((directory / "networks.json").read_text(encoding="utf-8")):
            place = directory / facts["network"]
            place.mkdir(exist_ok=True)
            logic = CombLogic.load(place.with_suffix(".json"))
            networks.append({"method": "HGQ2", "place": place, "adder_bits": logic.cost, **facts})
    return networks


def hgq2_python(directory: Path) -> Path:
    """The other environment's Python; the environment is made, from PyPI, where there is none."""
    python = directory.resolve() / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", *PACKAGES], check=True)
    return python


def synthesize(place: Path, hardware: Hardware, timeout_s: float) -> None:
    """Write the network's ``resources.json`` if it is not there: what Yosys makes of its Verilog."""
    from da4ml.cmvm.types import CombLogic

    resources = place / "resources.json"
    if resources.exists():
        return
    started = time.perf_counter()
    logic = CombLogic.load(_circuit(place))
    write_verilog(logic, place, "network", clock_period_ns=hardware.clock_period_ns)
    found = synthesize_verilog(place, "network", family=family_of(hardware.part), timeout_s=timeout_s)
    content = {**found.to_json(), "wall_s": time.perf_counter() - started}
    resources.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _circuit(place: Path) -> Path:
    """Ours lies in the network's folder, HGQ2's beside it."""
    ours = place / "logic.json"
    return ours if ours.exists() else place.with_suffix(".json")


def judged(study: Study, dataset: Dataset, network: Mapping[str, Any]) -> dict[str, Any]:
    """The network's efficiencies with intervals, and its resources after synthesis."""
    from da4ml.cmvm.types import CombLogic

    place: Path = network["place"]
    ours = network["method"] == "fpgaml"
    with np.load(place / "scores.npz" if ours else place.with_suffix(".npz")) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    if not ours:  # the circuit as it was read here, on the words that were given to it there
        logic = CombLogic.load(_circuit(place))
        for split in SPLITS[1:]:
            if not np.array_equal(np.asarray(logic.predict(columns[f"x_{split}"])).ravel(), columns[split]):
                raise ToolError(f"{place}: the circuit gives other scores here than where it was traced")
    taken = json.loads((place / "resources.json").read_text(encoding="utf-8"))
    scores = {"qkeras": Scores(**{split: columns[split] for split in SPLITS[1:]})}
    evaluation = evaluate(Events.of(dataset), scores, study.targets)
    return {
        **{key: value for key, value in network.items() if key != "place"},
        **{key: taken[key] for key in ("origin", "lut", "ff", "dsp", "latency_cycles", "latency_ns", "wall_s")},
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


def effort_of(method: str, networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Epochs and seconds of all trainings of a method, those included of which nothing is shown."""
    if method == "HGQ2":  # one training gives several networks
        trainings = {network["place"].parent: network for network in networks}.values()
        epochs, seconds = sum(t["epochs"] for t in trainings), sum(t["training_s"] for t in trainings)
        return {"method": method, "trainings": len(trainings), "epochs": epochs, "training_s": seconds}
    first = networks[0]
    return {
        "method": method,
        "trainings": first["search_trials"] + len(networks),
        "epochs": first["search_epochs"] + sum(network["last_epochs"] for network in networks),
        "training_s": sum(network["training_s"] for network in networks),
        "search_s": first["search_s"],
    }


def describe_effort(effort: Mapping[str, Any]) -> str:
    """A line for people."""
    searched = f", {effort['search_s']:.0f} s of searching before" if "search_s" in effort else ""
    return (
        f"{effort['method']}: {effort['trainings']} trainings, {effort['epochs']} epochs, "
        f"{effort['training_s']:.0f} s{searched}"
    )


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


def luts_at_equal_efficiency(rows: Sequence[Mapping[str, Any]], target: float) -> dict[str, float] | None:
    """LUTs of fpgaml over HGQ2's, over all signal efficiencies that both reach: geometric mean, smallest and largest.

    At each efficiency stands each method's cheapest network that has it, or more. They may reach none in common: None.
    """
    points = {
        method: np.array([(at(row, target)["value"], row["lut"]) for row in rows if row["method"] == method])
        for method in LOOKS
    }
    lowest = max(float(found[found[:, 1].argmin(), 0]) for found in points.values())
    highest = min(float(found[:, 0].max()) for found in points.values())
    if lowest > highest:
        return None
    ours, theirs = (
        np.array([found[found[:, 0] >= each, 1].min() for each in np.linspace(lowest, highest, 1001)])
        for found in (points["fpgaml"], points["HGQ2"])
    )
    logs = np.log(ours / theirs)
    found = {"mean": logs.mean(), "smallest": logs.min(), "largest": logs.max()}
    ratios = {name: float(np.exp(value)) for name, value in found.items()}
    return {"from_efficiency": lowest, "to_efficiency": highest, **ratios}


def describe_ratio(found: tuple[str, Mapping[str, float] | None]) -> str:
    """A line for people."""
    text, ratio = found
    if ratio is None:
        return f"at {text} of hadrons: no signal efficiency that both reach"
    return (
        f"at {text} of hadrons, for signal efficiencies from {ratio['from_efficiency']:.3f} to "
        f"{ratio['to_efficiency']:.3f}: fpgaml needs {ratio['mean']:.2f} times HGQ2's LUTs "
        f"({ratio['smallest']:.2f} to {ratio['largest']:.2f})"
    )


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
