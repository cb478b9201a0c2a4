"""EBOPs in the loss: a term that counts as it should, and training that takes bits away."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pydantic
import pytest
from networks import example_network, network, random_model
from test_trial import TARGETS, clouds, layer, point

from fpgaml.builder import build_model, quantized_weights, set_model_weights
from fpgaml.cost import cost
from fpgaml.ebops_loss import EbopsLoss
from fpgaml.layers import ArithmeticLayer
from fpgaml.train import train
from fpgaml.train_options import TrainOptions
from fpgaml.trial import TrialTrainer, load_trial


def term(model):
    """Of a trained model, by the code."""
    built = build_model(model.architecture)
    set_model_weights(built, model.weights)
    prices = EbopsLoss.prices(model.architecture, 1.0).astype(np.float32)
    return float(EbopsLoss(model.architecture, built)(prices))


@pytest.mark.parametrize("kind", ["dense", "conv1d", "conv2d", "depthwise_conv2d"])
def test_the_term_counts_every_product(kind):
    model = random_model(example_network(kind), seed=1)
    by_hand = 0.0
    for step in model.architecture.steps:
        if isinstance(step.layer, ArithmeticLayer):
            kernel = model.weights[step.name]["kernel"]
            uses = np.broadcast_to(step.layer.uses(step.input_shape), kernel.shape)
            for weight, times in zip(kernel.ravel(), uses.ravel(), strict=True):
                bits = math.log2(1 + abs(weight) / step.layer.weight_format.step)
                by_hand += step.input_values.width * times * bits
    assert term(model) == pytest.approx(by_hand, rel=1e-5)


def test_words_without_zeros_below_count_as_their_ebops_do():
    model = random_model(network((6,), [layer("dense", units=4, bits=(6, 1))]), seed=2)
    words = np.random.default_rng(3).choice([0, 1, 3, 7, 15, 31, -1, -7, -31], size=(6, 4))
    weights = {"dense_1": {"kernel": words * 2.0**-4, "bias": np.zeros(4)}}
    model = dataclasses.replace(model, weights=weights)
    exact = cost(model.architecture, quantized_weights(model.architecture, weights)).ebops
    assert exact > 0
    assert term(model) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("weight", [-1e-5, math.nan, math.inf, "much", 1e30])
def test_weights_that_make_no_sense_are_refused(weight):
    with pytest.raises(pydantic.ValidationError, match="ebops_weight"):
        TrainOptions(ebops_weight=weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "batchnorm"])
def test_the_larger_the_weight_the_fewer_ebops(name):
    each, dataset = point(name, epochs=12, patience=12), clouds()
    found = []
    for weight in (0.0, 1e-4, 1e-2):
        options = each.train.model_copy(update={"ebops_weight": weight})
        trained = train(each.architecture, dataset, options)
        kernels = [arrays["kernel"] for arrays in trained.quantized_weights.values()]
        zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
        found.append((cost(trained.firmware, trained.quantized_weights).ebops, -zeros))
    assert found == sorted(found, reverse=True)
    assert found[2][0] < 0.5 * found[0][0]
    assert found[2][1] < found[0][1]


@pytest.mark.slow
def test_trials_of_a_graph_keep_their_own_weight_and_the_float_network(tmp_path):
    """One trainer, one graph, weights in turn: the same as with a trainer of their own."""
    weights, dataset = (1e-3, 1e-5, 1e-3), clouds()
    shared = TrialTrainer(dataset, TARGETS)
    ebops = {}
    for number, weight in enumerate(weights):
        each = point("plain", ebops_weight=weight, float_epochs=2)
        together, alone = tmp_path / "together" / str(number), tmp_path / f"alone_{number}" / "trial"
        shared.train(each, epochs=4, directory=together)
        TrialTrainer(dataset, TARGETS).train(each, epochs=4, directory=alone)
        for one, other in zip(_arrays(each, together), _arrays(each, alone), strict=True):
            assert np.array_equal(one, other)
        trained = load_trial(each, together)
        ebops[weight] = cost(trained.firmware, trained.quantized_weights).ebops
    assert ebops[1e-3] < ebops[1e-5]
    assert len(list((tmp_path / "together").glob("float_*.lock"))) == 1


def _arrays(each, directory: Path):
    weights = load_trial(each, directory).weights
    return [array for arrays in weights.values() for array in arrays.values()]
