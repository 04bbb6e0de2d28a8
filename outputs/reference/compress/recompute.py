"""Make the tables and the sentences on multilingual-e5-small again from its records: nothing is trained.

`results/` holds the records of students with weights of 4 bits, since a CSV has no room for the counts of each
sentence; `records-e5-small.csv` holds those of the search that was made before, with weights of 8 bits.
"""

import os
from pathlib import Path

import pandas as pd

from smaller.analysis import sentences
from smaller.analysis.findings.baselines import at_every_seed
from smaller.analysis.statistics import Interval, of_split
from smaller.base.paths import project_root
from smaller.report.reference import PLAIN, ReferenceRun
from smaller.study import results

RUN = ReferenceRun(Path(__file__).parent, notebook="")
os.environ["SMALLER_OUTPUTS"] = str(RUN.folder)
COLUMNS = {"layers": "layers", "hidden": "width", "feed_forward": "neurons", "vocabulary": "tokens", "epochs": "epochs"}
COUNTS = dict.fromkeys(COLUMNS.values(), 0)
LIMIT = 1.0
"""The megabytes that were asked for."""

plain = pd.read_csv(project_root() / PLAIN, keep_default_na=False)
plain = plain[(plain["dataset"] == "masakhaner") & (plain["language"] == "swa")]
crf = plain.set_index("split")


def with_bytes(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each model, with megabytes, and with F1 on dev and test; the best on dev first."""
    table = table.assign(MB=table["shipped_bytes"] / 1e6).rename(columns=COLUMNS)
    scores = table.pivot(index="identity", columns="split", values="f1")
    found = table[table["split"] == "test"].join(scores, on="identity")
    return found.sort_values(["epochs", "dev"], kind="stable", ascending=[True, False])


def difference(found: Interval) -> str:
    """A difference in points of F1 with its interval over the sentences of the test split."""
    return f"{found.mean:+.1f} points [{found.low:.1f}, {found.high:.1f}]"


def in_four_bits() -> list[str]:
    """What students do that learn with weights of 4 bits, by the bytes that they take, beside one without a teacher."""
    records = results.read_all()
    epochs = {one["identity"]: [step["epochs"] for step in one["steps"] if "epochs" in step][-1] for one in records}
    table = results.table(records)
    found = with_bytes(table.assign(epochs=table["identity"].map(epochs)))
    whole, small = found[found["layers"] == found["layers"].max()], found[found["layers"] < found["layers"].max()]
    taught = small["label"].str.contains("lines")
    small = small.assign(taught=taught.map({True: "teacher and labels", False: "labels alone"}))
    for split in ("dev", "test"):
        small[f"{split}, % of dense"] = 100 * small[split] / whole[split].iloc[0]
    for name, other in (("dense", whole), ("a CRF", at_every_seed(of_split(plain, "test"), [1]))):
        each = {row: sentences.paired(small.loc[[row]], other) for row in small.index}
        small[f"minus {name}"] = pd.Series(each)
    chosen = small[taught & (small["MB"] <= LIMIT)].nlargest(1, "dev").iloc[0]
    alone = small[~taught & (small["width"] == chosen["width"])]
    told = [
        f" With labels alone, for as many updates, a student of as many layers and as wide, with the tokens of the "
        f"training sentences, has {row['test']:.1f}: the teacher and its unlabelled text make "
        f"{difference(sentences.paired(small.loc[[chosen.name]], alone.loc[[name]]))}."
        for name, row in alone.iterrows()
    ]
    columns = ["layers", "width", "neurons", "tokens", "taught", "epochs", "MB", "dev", "test"]
    columns += [column for column in small if column.endswith("of dense")]
    shown = small.sort_values(["taught", "MB"], ascending=[False, True])[columns]
    return [
        f"From {whole['MB'].iloc[0]:.1f} MB to {chosen['MB']:.2f} MB: a student of {chosen['layers']:.0f} layers, "
        f"{chosen['width']:.0f} wide, with {chosen['tokens']:,.0f} tokens and weights of 4 bits keeps "
        f"{chosen['dev, % of dense']:.0f} % of F1 on dev ({chosen['dev']:.1f} of {whole['dev'].iloc[0]:.1f}) and "
        f"{chosen['test, % of dense']:.0f} % on test ({chosen['test']:.1f} of {whole['test'].iloc[0]:.1f}). F1 on test "
        f"minus the dense model's is {difference(chosen['minus dense'])}, and minus that of a CRF without an encoder "
        f"{difference(chosen['minus a CRF'])}; the CRF has {crf['f1']['test']:.1f} on test and {crf['f1']['dev']:.1f} "
        f"on dev, and takes {crf['dense_bytes']['test'] / 1e6:.2f} MB.{''.join(told)} One training each: intervals are "
        "over the sentences of the test split, and another seed would be another model.",
        RUN.table(
            shown,
            "Students of multilingual-e5-small that learn with weights of 4 bits, by what teaches them and by their "
            "bytes: span F1 on dev and test, and as a share of the dense model's. MB: the folder without its README.",
            "four-bits",
            decimals=COUNTS | {"MB": 2} | dict.fromkeys([name for name in columns if "%" in name], 0),
        ),
    ]


def in_eight_bits() -> list[str]:
    """What a whole search with weights of 8 bits found."""
    found = with_bytes(RUN.records("records-e5-small.csv"))
    whole, tried = found[found["layers"] == 12].iloc[0], found[found["layers"] < 12]
    chosen = tried[tried["epochs"] == tried["epochs"].max()].nlargest(1, "dev").iloc[0]
    kept = {split: 100 * chosen[split] / whole[split] for split in ("dev", "test")}
    return [
        f"The search above, with weights of 8 bits, went from {whole['MB']:.1f} MB to {chosen['MB']:.2f} MB. It chose "
        f"on dev {chosen['layers']:.0f} layers, {chosen['width']:.0f} wide, {chosen['neurons']:.0f} neurons, "
        f"{chosen['tokens']:,.0f} tokens. Span F1 on dev is {chosen['dev']:.1f}, {kept['dev']:.0f} % of the dense "
        f"model's {whole['dev']:.1f}; on test it is {chosen['test']:.1f}, {kept['test']:.0f} % of {whole['test']:.1f}. "
        f"The CRF has {crf['f1']['dev']:.1f} on dev and {crf['f1']['test']:.1f} on test. One training, without "
        "counts of sentences, so there is no interval.",
        RUN.table(
            tried[[*COLUMNS.values(), "MB", "dev", "test"]],
            "What was tried with weights of 8 bits, by rounds: span F1 on dev, by which each round keeps the better "
            "half, and on test. MB: the folder without its README.",
            "tried-e5-small",
            decimals={"MB": 2} | COUNTS,
        ),
    ]


RUN.findings([*in_four_bits(), *in_eight_bits()])
