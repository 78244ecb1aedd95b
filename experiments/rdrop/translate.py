"""The trial behind ``rdrop-translation``: a small translator trained with or without R-Drop, scored by BLEU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.data.translation_settings import ProceduralTranslationSettings
from experiments.rdrop.optimiser_settings import OptimiserSettings
from experiments.rdrop.trial import Alpha, Count, Rate, Share

if TYPE_CHECKING:
    from torch import Tensor

    from experiments.rdrop.stacks import OneByOne
    from experiments.rdrop.tasks import Examples
    from harness.execution.run import Run

DROPOUT_PASSES = 4
DIVERGENCE_ITEMS = 100


def train_and_translate(
    *,
    run: Run,
    alpha: Alpha,
    data: ProceduralTranslationSettings,
    optimiser: OptimiserSettings,
    steps: Count,
    batch_size: Count = 32,
    width: Count = 64,
    layers: Count = 2,
    heads: Count = 4,
    feed_forward: Count = 128,
    dropout: Rate = 0.3,
    label_smoothing: Share = 0.1,
    beams: Count = 5,
    evaluations: Count = 8,
) -> dict[str, Any]:
    """Train a translator and return one record, at the evaluation with the best validation BLEU and at the last step.

    ``bleu`` is the test part's corpus BLEU by beam search; ``validation_bleu`` that of the validation part, translated
    greedily at every evaluation; ``nll`` the test part's negative log-likelihood a token (nats); ``inconsistency`` KL
    between two dropout passes a token (nats); each with ``_last`` behind the name at the last step. A loss that is not
    finite leaves NaN.

    Args:
        alpha: as in ``experiments.rdrop.trial``.
        label_smoothing: share of the target spread over the vocabulary, as the paper's script has it.
        beams: of the search on the test part.
    """
    import pandas
    import torch

    from experiments.data.procedural_translation import make_translation
    from experiments.rdrop.evaluation import nothing, readings
    from experiments.rdrop.setup import training_of
    from experiments.rdrop.stacks import OneByOne
    from experiments.rdrop.training import Order, train
    from experiments.rdrop.translation import Translator, TranslatorShape, Vocabulary, best_state, bleu, encoded
    from harness.errors import UserError

    torch.set_num_threads(run.threads or torch.get_num_threads())
    device = torch.device(run.device)
    languages = make_translation(data, run.stream("data").seed)
    vocabulary = Vocabulary(languages)
    parts = {name: encoded(getattr(languages, name), vocabulary) for name in ("train", "validation", "test")}
    longest = max(part.targets.shape[1] for part in parts.values())
    shape = TranslatorShape(width, layers, heads, feed_forward)
    model = Translator(shape, len(vocabulary), longest, dropout, run.stream("init"))
    stack = OneByOne([model], optimiser, device)
    training = training_of(
        alpha, steps, evaluations, batch_size=batch_size, optimiser=optimiser, label_smoothing=label_smoothing
    )

    def score(part: str, beams: int) -> float:
        made = model.translate(parts[part].inputs[:, 0].to(device), beams, longest)
        return bleu([vocabulary.sentence(one) for one in made], getattr(languages, part).target)

    best: dict[str, Any] = {"bleu": -math.inf}

    def evaluate(done: int) -> list[Mapping[str, float]]:
        row = {"validation_bleu": score("validation", 1), **_likelihood(stack, parts["test"], device)}
        if dropout > 0:
            with run.stream("eval").as_torch_default():
                row["inconsistency"] = _divergence(stack, parts["test"], device)
        if row["validation_bleu"] > best["bleu"]:
            best.update(bleu=row["validation_bleu"], state=best_state(model))
        return [row]

    try:
        orders = [Order(run.stream("data_order"), len(parts["train"]), batch_size)]
    except ValueError as error:
        raise UserError(f"{data.source}: {error}") from None
    outcome = train(
        stack,
        parts["train"],
        training,
        orders,
        None,
        evaluate,
        device=device,
        dropout=[run.stream("dropout")],
        kept=best,
        checkpoint=run.checkpoint,
        progress=run.progress,
    )
    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "compute": training.passes_in_all,
    }
    for row in outcome.logged:
        run.log(row["step"], loss=row["loss"], gradient_norm=row["gradient_norm"])
    for row in outcome.course:
        run.log(row["step"], validation_bleu=row["validation_bleu"])
    if outcome.course:
        course = pandas.DataFrame(outcome.course).drop(columns="model")
        run.samples("course", course)
    if 0 in outcome.diverged:
        return {
            **nothing(("bleu", "nll", "inconsistency"), "validation_bleu"),
            "diverged_at": outcome.diverged[0],
            **facts,
        }
    bleu_last = score("test", beams)
    model.load_state_dict(best["state"])
    found = readings(outcome.course, 0, "validation_bleu")
    return {"bleu": score("test", beams), "bleu_last": bleu_last, **found, **facts}


def _likelihood(stack: OneByOne, examples: Examples, device: Any) -> dict[str, float]:
    """Return the negative log-likelihood a token, in nats, and the share of right tokens in %."""
    log_p = stack.logits(examples.inputs.to(device)).log_softmax(-1)[0]
    targets = examples.targets.to(device)
    counted = targets >= 0
    own = log_p.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)[counted]
    right = (log_p.argmax(-1) == targets)[counted]
    return {"nll": float(-own.mean()), "token_accuracy": float(100.0 * right.float().mean())}


def _divergence(stack: OneByOne, examples: Examples, device: Any) -> float:
    """Return KL between two dropout passes, in nats a token."""
    from experiments.rdrop.metrics import pass_divergence

    inputs, targets = examples.inputs[:DIVERGENCE_ITEMS], examples.targets[:DIVERGENCE_ITEMS]
    passes: Tensor = stack.logits(inputs.repeat(DROPOUT_PASSES, 1, 1).to(device), dropout=True).log_softmax(-1)
    by_pass = passes.unflatten(1, (DROPOUT_PASSES, len(inputs)))[:, :, targets.to(device) >= 0]
    return float(pass_divergence(by_pass)[0])
