"""The formats: what they hold, that each computes what it says, and that all are called alike."""

from __future__ import annotations

import copy
import platform
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig
from transformers.exporters.exporter_onnx import OnnxExporter

from smaller import encoders, formats
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.formats import onnx_runtime, processor
from smaller.formats.base import Folder, quietly
from smaller.formats.onnx_runtime import Onnx
from smaller.serving.folder import GRAPHS

LABELS = bio_labels(("PER", "LOC", "ORG", "DATE"))
SENTENCES = ["Wizkid yayi wasa a Lagos ranar Asabar , kuma ya gana da jama'a .", "Kano", "Emeka anọghị na Abuja taa ."]
HIDDEN, FEED_FORWARD, LAYERS, POSITIONS = 24, 48, 2, 514
TORCH_FORMATS = ("fp32", "fp16", "bf16", "dynamic", "llm.int8")


@pytest.fixture(scope="module")
def tagger(tiny) -> Model:
    return encoders.with_classifier(tiny, LABELS, seed=1)


@pytest.fixture(scope="module")
def converted(tagger):
    """The tagger in any form; an export is made once for all tests here."""
    made: dict[str, Model] = {}

    def get(form: str) -> Model:
        if form == "openvino-int8":
            pytest.importorskip("nncf")
        if form not in made:
            rows = [torch.tensor(row) for row in tagger.tokenizer(SENTENCES)["input_ids"]]
            made[form] = formats.convert(tagger, form, rows=rows)
        return made[form]

    return get


@pytest.fixture(scope="module")
def batch(tagger) -> tuple[Tensor, Tensor]:
    pieces = torch.tensor(tagger.tokenizer(SENTENCES, padding=True)["input_ids"])
    return pieces, pieces != tagger.tokenizer.pad_token_id


def logits(model: Model, batch: tuple[Tensor, Tensor]) -> Tensor:
    return model.network(input_ids=batch[0], attention_mask=batch[1]).logits.detach()


def sizes_by_hand(vocabulary: int) -> dict[str, int]:
    """Parameters of the tiny tagger by part."""
    return {
        "embeddings": (vocabulary + POSITIONS + 1) * HIDDEN,
        "weights": LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * FEED_FORWARD),
        "biases": LAYERS * (5 * HIDDEN + FEED_FORWARD),
        "head": HIDDEN * len(LABELS),
        "head bias": len(LABELS),
        "rest": (1 + 2 * LAYERS) * 2 * HIDDEN,
    }


def bytes_by_hand(form: str, vocabulary: int) -> dict[str, int]:
    n = sizes_by_hand(vocabulary)
    linears = 6 * LAYERS
    outputs = n["biases"]  # one bias for each output
    all_linear = n["weights"] + n["biases"] + n["head"] + n["head bias"]
    match form:
        case "fp32":
            return {"embeddings": 4 * n["embeddings"], "linear": 4 * all_linear, "rest": 4 * n["rest"]}
        case "fp16" | "bf16":
            return {"embeddings": 2 * n["embeddings"], "linear": 2 * all_linear, "rest": 2 * n["rest"]}
        case "dynamic":  # a scale (float64) and a zero point (int64) for each Linear layer, the head's too
            linear = n["weights"] + n["head"] + 4 * (n["biases"] + n["head bias"]) + 16 * (linears + 1)
            return {"embeddings": 4 * n["embeddings"], "linear": linear, "rest": 4 * n["rest"]}
        case "llm.int8":  # a scale (fp32) for each output, and a head in fp16
            linear = n["weights"] + 2 * n["biases"] + 4 * outputs + 2 * (n["head"] + n["head bias"])
            return {"embeddings": 2 * n["embeddings"], "linear": linear, "rest": 2 * n["rest"]}
    raise AssertionError(form)


@pytest.mark.parametrize("form", TORCH_FORMATS)
def test_bytes_are_those_of_arithmetic(form, converted, tagger):
    assert formats.bytes_by_part(converted(form).network) == bytes_by_hand(form, len(tagger.tokenizer))


@pytest.mark.parametrize("form", formats.FORMATS)
def test_every_form_counts_the_same_parameters(form, converted, tagger):
    assert formats.parameter_count(converted(form).network) == sum(sizes_by_hand(len(tagger.tokenizer)).values())


@pytest.mark.parametrize("form", ["onnx-int8", "openvino-int8"])
def test_int8_graphs_hold_a_quarter_of_the_weights_bytes(form, converted, tagger):
    n = sizes_by_hand(len(tagger.tokenizer))
    found = formats.bytes_by_part(converted(form).network)
    # One byte a weight, and less than a seventh of that for scales, zero points and fp32 biases.
    assert n["embeddings"] <= found["embeddings"] < 1.2 * n["embeddings"]
    assert n["weights"] + n["head"] <= found["linear"] < 1.3 * (n["weights"] + n["head"])
    types = formats.types_by_part(converted(form).network)
    assert types["embeddings"].get("int8", 0) + types["embeddings"].get("uint8", 0) >= n["embeddings"]
    assert types["linear"]["int8"] >= n["weights"] + n["head"]


def test_a_fp32_graph_holds_the_networks_bytes(converted, tagger):
    by_hand, found = bytes_by_hand("fp32", len(tagger.tokenizer)), formats.bytes_by_part(converted("onnx").network)
    assert found["embeddings"] == by_hand["embeddings"]
    # Equal tensors are merged: the biases and norms of a network that has not been trained are all alike.
    n = sizes_by_hand(len(tagger.tokenizer))
    assert 4 * (n["weights"] + n["head"]) <= found["linear"] <= by_hand["linear"]


@pytest.mark.parametrize(("form", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision_is_the_network_cast(form, dtype, converted, tagger, batch):
    cast = copy.deepcopy(tagger.network).to(dtype)
    expected = cast(input_ids=batch[0], attention_mask=batch[1]).logits.detach().float()
    assert torch.equal(logits(converted(form), batch), expected)


def test_dynamic_is_torchs_own(converted, tagger, batch):
    with quietly():
        own = torch.ao.quantization.quantize_dynamic(copy.deepcopy(tagger.network), {nn.Linear}, dtype=torch.qint8)
    assert torch.equal(logits(converted("dynamic"), batch), own(input_ids=batch[0], attention_mask=batch[1]).logits)


def int8_product(values: Tensor, weight: Tensor, bias: Tensor, threshold: float) -> Tensor:
    """LLM.int8() written down from the paper (Dettmers et al. 2022, equations 4, 5 and 8), in fp32."""
    flat = values.reshape(-1, values.shape[-1])
    outlier = (flat.abs() >= threshold).any(dim=0)
    inner = flat.masked_fill(outlier, 0.0)
    row = inner.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    column = weight.abs().amax(dim=1, keepdim=True)
    product = ((inner * 127 / row).round() @ (weight * 127 / column).round().T) * (row * column.T) / 127**2
    coarse = (weight * 127 / column).round() * column / 127  # the outliers' weights are read back from int8
    product += flat[:, outlier] @ coarse[:, outlier].T
    return (product + bias).reshape(*values.shape[:-1], -1)


@pytest.mark.parametrize("threshold", [0.5, 6.0])
def test_llm_int8_is_the_papers_arithmetic(threshold, tagger, batch):
    quantized = formats.convert(tagger, "llm.int8", threshold=threshold)
    reference = copy.deepcopy(tagger.network).float()
    encoder = tagger.network.base_model_prefix

    class Reference(nn.Linear):
        def forward(self, values: Tensor) -> Tensor:
            return int8_product(values, self.weight, self.bias, threshold)

    for name, module in reference.named_modules():
        if isinstance(module, nn.Linear) and name.startswith(encoder):
            module.__class__ = Reference
    expected = reference(input_ids=batch[0], attention_mask=batch[1]).logits.detach()
    exact = logits(tagger, batch)
    error, cost = (logits(quantized, batch) - expected).abs().max(), (expected - exact).abs().max()
    assert error < 0.01  # what fp16 for all but the products leaves
    assert cost > 0


def test_llm_int8_keeps_the_classifier_unless_asked(tagger):
    kept, quantized = (formats.convert(tagger, "llm.int8", classifier=asked).network for asked in (False, True))
    assert kept.network.classifier.weight.dtype == torch.float16
    assert quantized.network.classifier.weight.dtype == torch.int8


def test_llm_int8_says_nothing(converted, batch, capfd, caplog):
    for _ in range(3):
        logits(converted("llm.int8"), batch)
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_outliers_are_counted():
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding.from_pretrained(torch.tensor([[1.0, 0, 0, 0], [0, 7.0, 0, 0], [0, -6.0, 0, 1.0]]))
            self.encoder = nn.ModuleDict({"layer": nn.Linear(4, 4)})
            self.head = nn.Linear(4, 2)

        def forward(self, input_ids: Tensor) -> Tensor:
            return self.head(100 * self.encoder["layer"](self.table(input_ids)))

    found = formats.outliers(
        Network(), [torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([1, 2])], threshold=6.0
    )
    assert found == {"columns": 2 / 12, "values": 3 / 24, "largest": 7.0}


def test_a_graph_in_fp32_computes_the_same(converted, tagger, batch):
    assert (logits(converted("onnx"), batch) - logits(tagger, batch)).abs().max() < 1e-4
    alone = (torch.arange(5, 45)[None], torch.ones(1, 40, dtype=torch.bool))  # other sizes than it was traced with
    assert (logits(converted("onnx"), alone) - logits(tagger, alone)).abs().max() < 1e-4


@pytest.mark.parametrize("form", ["dynamic", "llm.int8", "onnx-int8", "openvino-int8"])
def test_int8_is_close(form, converted, tagger, batch):
    exact = logits(tagger, batch)[batch[1]]
    error = (logits(converted(form), batch)[batch[1]] - exact).abs().max()
    assert 0 < error < 0.15 * exact.abs().max()


@pytest.mark.parametrize("form", formats.FORMATS)
def test_padding_and_company_change_no_clear_prediction(form, converted, batch):
    """A scale for a whole tensor depends on all that is in the batch, so int8 logits move a little, tags do not."""
    together = logits(converted(form), batch)
    slack = {"fp32": 1e-5, "onnx": 1e-5, "fp16": 2e-3, "bf16": 2e-2}.get(form, 0.05)
    for row, mask in enumerate(batch[1]):
        alone = logits(converted(form), (batch[0][row : row + 1, mask], mask[mask][None]))[0]
        assert (together[row, mask] - alone).abs().max() < slack
        first, second = alone.topk(2).values.unbind(-1)
        clear = first - second > 2 * slack
        assert torch.equal(together[row, mask].argmax(-1)[clear], alone.argmax(-1)[clear])


@pytest.mark.parametrize("form", formats.FORMATS)
def test_all_are_called_alike(form, converted, batch):
    model = converted(form)
    network = model.network.to(torch.device("cpu")).eval()
    assert model.form == form
    assert network.config.num_labels == len(LABELS)
    assert [network.config.id2label[index] for index in range(len(LABELS))] == list(LABELS)
    row = batch[0][:1, :8]
    plain = network(input_ids=row).logits.detach()
    assert plain.shape == (1, 8, len(LABELS))
    assert plain.dtype == torch.float32
    counted = network(input_ids=row, attention_mask=torch.ones_like(row)).logits.detach()  # integers, not booleans
    assert torch.equal(plain, counted)
    assert torch.equal(logits(model.copy(), batch), logits(model, batch))


@pytest.mark.parametrize("form", ["onnx", "onnx-int8", "onnx-int4"])
def test_a_graph_holds_no_notes_of_the_machine_that_made_it(converted, form, tmp_path):
    network = converted(form).network
    network.write(tmp_path)
    content = (tmp_path / GRAPHS[form]).read_bytes()
    assert not [word for word in (sys.prefix, str(Path.home()), "site-packages", ".py") if word.encode() in content]
    kept = formats.bytes_by_part(network)
    assert len(content) < 1.25 * sum(kept.values()) + 60_000  # the nodes of two layers themselves


@pytest.mark.parametrize("form", ["fp16", "dynamic", "llm.int8", "onnx", "onnx-int8", "onnx-int4"])
def test_a_bert_has_the_same_forms(form, tagger, batch):
    config = BertConfig(
        vocab_size=len(tagger.tokenizer),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        pad_token_id=1,
    )
    bert = encoders.with_classifier(Model(encoders.build(config, seed=2), tagger.tokenizer), LABELS, seed=3)
    exact = logits(bert, batch)[batch[1]]
    share = 0.3 if form == "onnx-int4" else 0.05  # of weights that nothing taught to be rounded
    assert (logits(formats.convert(bert, form), batch)[batch[1]] - exact).abs().max() < share * exact.abs().max()


def test_graphs_of_one_shape_have_weights_of_their_own(tagger, tiny, batch):
    other = encoders.with_classifier(tiny, LABELS, seed=2)
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.mul_(1.25)
    for model in (tagger, other, tagger):
        assert (logits(formats.convert(model, "onnx"), batch) - logits(model, batch)).abs().max() < 1e-4


def test_a_shape_is_traced_once_and_kept_for_other_processes(tagger, fresh_folders, monkeypatch):
    traced, export = [], OnnxExporter.export
    monkeypatch.setattr(OnnxExporter, "export", lambda *given, **more: traced.append(1) or export(*given, **more))

    def graph(name: str) -> bytes:
        monkeypatch.setattr(onnx_runtime, "_traced", {})  # as in a process that begins
        model = tagger.copy()
        model.network.config._name_or_path = name
        made = formats.convert(model, "onnx-int8")  # whose file goes with it
        return made.network.files[0].read_bytes()

    first = graph("here")
    assert graph("there") == first and len(traced) == 1
    (kept,) = (fresh_folders / "ca che" / "graphs").iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    assert graph("damaged") == first and len(traced) == 2
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_bytes(b"")  # nothing can be kept
    assert graph("nowhere") == first and len(traced) == 3


@pytest.mark.parametrize("form", [form for form in formats.FORMATS if form != "fp32"])
def test_autocast_changes_nothing_inside(form, converted, batch):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = logits(converted(form), batch)
    assert torch.equal(cast, logits(converted(form), batch))


def test_graphs_follow_the_number_of_threads(converted, batch):
    network, before = converted("onnx").network, torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            answers.append(logits(converted("onnx"), batch))
            assert network.compiled().session.get_session_options().intra_op_num_threads == threads
    finally:
        torch.set_num_threads(before)
    assert (answers[0] - answers[1]).abs().max() < 1e-5


def test_the_model_that_is_given_stays_as_it_is(tagger, batch):
    before = logits(tagger, batch)
    state = {name: values.clone() for name, values in tagger.network.state_dict().items()}
    for form in TORCH_FORMATS:
        formats.convert(tagger, form)
    assert tagger.form == encoders.TRAINED
    assert torch.equal(logits(tagger, batch), before)
    assert all(torch.equal(values, state[name]) for name, values in tagger.network.state_dict().items())


def test_a_graphs_files_go_with_it(tagger):
    owner = Folder()
    network = Onnx("onnx", tagger.network.config, owner.path, parameters=1, owner=owner)
    folder, twin = owner.path, copy.deepcopy(network)
    del network, owner
    assert folder.is_dir()  # the copy reads it
    del twin
    assert not folder.exists()


def test_pruned_weights_stay_zero(tagger):
    pruned = tagger.copy()
    weight = pruned.network.roberta.encoder.layer[0].output.dense.weight
    with torch.no_grad():
        weight[:, ::2] = 0
        weight[3] = 0  # a whole output: its scale is zero
    int8 = formats.convert(pruned, "llm.int8").network.network.roberta.encoder.layer[0].output.dense
    assert not int8.state.CB[:, ::2].any()
    row = torch.arange(5, 15)[None]
    assert torch.isfinite(formats.convert(pruned, "llm.int8").network(input_ids=row).logits).all()
    packed = formats.convert(pruned, "dynamic").network.network.roberta.encoder.layer[0].output.dense.weight()
    assert not packed.int_repr()[:, ::2].any()


@pytest.mark.parametrize("form", ["llm.int8", "onnx-int8", "openvino-int8"])
def test_a_missing_library_is_one_error_that_says_what_to_install(form, tagger, absent, monkeypatch):
    package = {"llm.int8": "bitsandbytes", "onnx-int8": "onnxscript", "openvino-int8": "openvino"}[form]
    for module in [name for name in sys.modules if "exporter_onnx" in name]:
        monkeypatch.delitem(sys.modules, module)
    absent(package)
    with pytest.raises(SmallerError, match=f"needs? the package.*{package}.*[Ii]nstall"):
        formats.convert(tagger, form, rows=[torch.arange(5, 9)])


def test_unknown_names_get_a_suggestion(tagger):
    with pytest.raises(SmallerError, match=r"no format 'llm-int8'.*Did you mean 'llm.int8'"):
        formats.convert(tagger, "llm-int8")
    with pytest.raises(SmallerError, match="no engine 'fbgem'"):
        formats.convert(tagger, "dynamic", engine="fbgem")
    with pytest.raises(SmallerError, match="calibrated on sentences, and none were given"):
        formats.convert(tagger, "openvino-int8")


def test_a_quantized_model_is_neither_trained_nor_quantized_again(tagger):
    with pytest.raises(SmallerError, match="in the format fp16.*comes last"):
        formats.convert(formats.convert(tagger, "fp16"), "onnx-int8")
    with pytest.raises(SmallerError, match="FineTune needs weights in fp32"):
        formats.require_trainable(formats.convert(tagger, "bf16"), what="FineTune")
    formats.require_trainable(formats.convert(tagger, "fp32"), what="FineTune")


@pytest.mark.parametrize(
    ("features", "lacking"),
    [
        (set(), ["VNNI", "AVX-512", "bfloat16", "fp16"]),
        ({"vnni", "avx512", "amx_tile"}, ["fp16"]),
        (set(processor.FEATURES) - {"amx_tile"}, []),
    ],
)
def test_the_processors_gaps_are_said(features, lacking):
    found = processor.notes_of("x86_64", features)
    assert [note.split()[1].rstrip(":") for note in found] == lacking
    assert len(processor.notes_of("aarch64", features)) == 1
    assert set(formats.processor_notes()) <= set(processor.notes_of(platform.machine(), set()))
