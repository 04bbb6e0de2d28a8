"""Make the table and the sentences on multilingual-e5-small again from its records: nothing is trained."""

from pathlib import Path

import pandas as pd

from smaller.base.paths import project_root
from smaller.report.reference import PLAIN, ReferenceRun

RUN = ReferenceRun(Path(__file__).parent, notebook="")
SHAPE = ["layers", "hidden", "feed_forward", "vocabulary"]

found = RUN.records("records-e5-small.csv")
found = found.assign(MB=found["shipped_bytes"] / 1e6)
found = found.pivot(index=[*SHAPE, "epochs", "MB"], columns="split", values="f1").reset_index()
found = found.sort_values(["epochs", "dev"], kind="stable", ascending=[True, False])
whole, tried = found[found["layers"] == 12].iloc[0], found[found["layers"] < 12]
chosen = tried[tried["epochs"] == tried["epochs"].max()].nlargest(1, "dev").iloc[0]
kept = {split: 100 * chosen[split] / whole[split] for split in ("dev", "test")}

plain = pd.read_csv(project_root() / PLAIN, keep_default_na=False)
plain = plain[(plain["dataset"] == "masakhaner") & (plain["language"] == "swa")].set_index("split")
ahead = plain["f1"]["dev"] > chosen["dev"]
megabytes = plain["dense_bytes"]["dev"] / 1e6

RUN.findings(
    [
        f"From {whole['MB']:.1f} MB to {chosen['MB']:.2f} MB. Chosen on dev: {chosen['layers']:.0f} layers, "
        f"{chosen['hidden']:.0f} wide, {chosen['feed_forward']:.0f} neurons, {chosen['vocabulary']:,.0f} tokens.",
        f"Span F1 on dev is {chosen['dev']:.1f}, {kept['dev']:.0f} % of the dense model's {whole['dev']:.1f}; on test "
        f"it is {chosen['test']:.1f}, {kept['test']:.0f} % of {whole['test']:.1f}. One seed, so there is no interval.",
        f"A conditional random field without an encoder takes {megabytes:.2f} MB and has {plain['f1']['dev']:.1f} on "
        f"dev and {plain['f1']['test']:.1f} on test. "
        + ("It is ahead: below 1 MB it is the model to look at first." if ahead else "It is behind."),
        RUN.table(
            tried.rename(columns={"hidden": "width", "feed_forward": "neurons", "vocabulary": "tokens"})[
                ["layers", "width", "neurons", "tokens", "epochs", "MB", "dev", "test"]
            ],
            "What was tried, by rounds: span F1 on dev, by which each round keeps the better half, and on test. MB: "
            "the folder without its README.",
            "tried-e5-small",
            decimals={"MB": 2} | dict.fromkeys(["layers", "width", "neurons", "tokens", "epochs"], 0),
        ),
    ]
)
