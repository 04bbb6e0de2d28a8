"""Make the tables, figures and sentences of this folder again from its records: nothing is trained."""

from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import claims, correlations, transfer
from smaller.base.words import count_of
from smaller.data.features import FEATURES
from smaller.report.reference import ReferenceRun

RUN = ReferenceRun(Path(__file__).parent, notebook="05_transfer")
shown = RUN.table
ENCODER = "mini-base"


def records() -> pd.DataFrame:
    """The records as `results.table` gives them, of the models that this run scored on further test sets."""
    missing = {name: [""] for name in ("milliseconds", "scoring_seconds")}
    table = pd.read_csv(RUN.folder / "records.csv", keep_default_na=False, na_values=missing, low_memory=False)
    return table[table["identity"].isin(table.loc[table["dataset"] != "masakhaner", "identity"])]


table = records()
# What the tokenizer says of languages is not in the records: these two tables stay as they were measured.
distances = pd.read_csv(RUN.folder / "figures" / "transfer-distance.csv").drop(columns=["f1", "equal"], errors="ignore")
features = pd.read_csv(RUN.folder / "tables" / "language-features.csv").rename(
    columns={label: name for name, label in FEATURES.items()}
)
features["language"] = features["language"].str.extract(r"\((\w+)\)")

near = correlations.transfer_and_distance(table, distances)
tell = correlations.features_and_compression(table, features)
helps, reach, breaks = transfer.pruning_helps(table), transfer.reach(table), transfer.breaks(table)
unseen = count_of(transfer.unseen(table)["language"].nunique(), "language")
targets, rho = transfer.by_target(table), dict.fromkeys(["rank correlation", "low", "high"], 2)
places = dict.fromkeys(["tokens per word, training", "tokens per word, out of domain"], 2)
ahead, pruned = RUN.ahead(transfer.at_home(table)), table[table["sparsity"] > 0]
parts = [
    *map(str, (ahead, helps, reach, breaks)),
    shown(
        transfer.lost_at(table),
        "Dense F1, averaged over languages; the sparsity at which it has fallen by 2 points in each order, linear "
        "between the points of the grid, and from which on the interval excludes a smaller loss. Zero-shot: in "
        f"{unseen} that no model here was fine-tuned on. From {count_of(pruned['seed'].nunique(), 'seed')} and "
        f"{count_of(pruned['sparsity'].nunique(), 'point')} of the grid: mini has more of both, and other places.",
        "two-points-lost",
        decimals={name: 0 for name in targets if name.endswith("(%)")},
    ),
    shown(
        transfer.changes(table),
        "F1 out of domain minus that of the dense model, in points, over seeds and over sentences. Last: the same "
        "minus the change in domain; above zero, pruning costs less out of domain.",
        "out-of-domain-changes",
        decimals=2,
    ),
    shown(
        transfer.by_language(table, features, distances),
        "Dense models in both domains, and how many tokens the tokenizer makes of a word.",
        "domains-by-language",
        decimals=places,
    ),
    shown(
        transfer.techniques(table),
        "F1 and its change against dense in three settings, to look things up in: the verdicts out of domain stand "
        "above. Sources are averaged first, then targets. Zero-shot: in "
        f"every language but the source's own, so beside the {unseen} above also in the other sources' languages.",
        "techniques-away",
    ),
    shown(
        targets,
        "Languages that no pruned model was fine-tuned on: dense zero-shot F1 of models of one "
        "language and of the joint model; the sparsity at which models of one language have lost 2 points, and from "
        "which on the interval excludes a smaller loss; a published F1 after fine-tuning on the language itself.",
        "zero-shot-targets",
        decimals={name: 0 for name in targets if name.endswith("(%)")},
    ),
    str(correlations.clearest(near)),
    shown(
        near,
        "Zero-shot F1 of the dense models and what may set targets apart: Spearman's rank correlation with its "
        "95 % interval over n targets. Targets in one family are no independent points. A mean over targets of "
        "correlations over sources has neither interval nor p: all targets share the sources.",
        "transfer-correlations",
        decimals=rho | {"p": 3, "p (Holm)": 3},
    ),
    str(correlations.clearest(tell)),
    shown(
        claims.of_page(transfer.claims(table, correlations.clearest(tell)), encoder=ENCODER, ahead=ahead),
        f"What {ENCODER} shows of it on masakhaner.",
        "verdicts-transfer",
    ),
]
RUN.tables({"language-correlations": tell})

pairs, number = correlations.with_distances(table, distances), count_of(table["seed"].nunique(), "seed")
equal, over = pairs[pairs["equal"]], f"Fine-tuned on Hausa (hau), Swahili (swa), Yoruba (yor); {number}"
CURVES = "F1 over sparsity in both orders"
RUN.figure(
    figures.out_of_domain(table),
    "P1-F4",
    table=transfer.domains(table),
    caption=f"F1 out of domain over sparsity by language; dotted: the dense model in domain. {helps.headline}",
    over=over,
    alt=f"One panel for each language, the average first: {CURVES}, a grey line for the dense model out of domain and "
    "a dotted line for it in domain.",
)
RUN.figure(
    figures.transfer_matrix(table),
    "transfer-matrix",
    table=transfer.matrix(table).reset_index(),
    caption="F1 of dense models by source and target, means over seeds. Framed: languages that the model was "
    f"fine-tuned on. {reach.headline}",
    alt="A heat map: rows are the languages that models were tested in, columns those they were fine-tuned on.",
)
RUN.figure(
    figures.zero_shot(table),
    "P1-F5",
    table=transfer.unseen(table),
    caption="Zero-shot F1 over sparsity in languages that no pruned model was fine-tuned on: models of one language, "
    f"mean over sources; grey: the dense models. {breaks.headline}",
    over=over,
    alt=f"One panel for each unseen language, the average first: {CURVES}, and a line for the dense models.",
)
RUN.figure(
    figures.zero_shot(table, trained=transfer.JOINT),
    "P1-F5-joint",
    table=transfer.unseen(table),
    caption="The same for the joint model, which was fine-tuned on all source languages at once, with one seed: no "
    "interval.",
    alt=f"One panel for each unseen language, the average first: {CURVES}, and a line for the dense model.",
)
RUN.figure(
    figures.transfer_and_distance(table, distances),
    "transfer-distance",
    table=pairs,
    caption=f"Zero-shot F1 of the dense models in {len(correlations.over_sources(pairs))} languages, each a mean over "
    f"the same {equal['trained_on'].nunique()} sources and over {number}. Left: over the share of tokens that target "
    "and source have in common. Right: over the share of tokens that the encoder does not know. "
    + correlations.clearest(near).headline,
    alt="Two scatter plots with one point for each target language.",
)
RUN.findings(parts)
