"""Checkpoints of a long training, from which a killed process goes on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from smaller.base.files import draft_of, sweep
from smaller.base.progress import Say
from smaller.data.encoding import Batch
from smaller.encoders.model import raw

CHECKPOINT_SECONDS = 60.0
"""The least time between two checkpoints."""

WRITING_SHARE = 1 / 20
"""The largest share of the time that goes into checkpoints: on a slow disk they are further apart."""


class Checkpoint:
    """The state of one training in one file: parameters, optimizer, random state, losses.

    The file names the training that it belongs to by its settings, its first weights and its first batch.
    """

    def __init__(
        self,
        folder: Path,
        named: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        *,
        settings: list,
        first: Batch,
        say: Say,
        seconds: float | None = None,
    ) -> None:
        self.file, self.named, self.optimizer, self.say = folder / "training.safetensors", named, optimizer, say
        self.seconds = CHECKPOINT_SECONDS if seconds is None else seconds
        self.device = next(iter(named.values())).device
        digest = hashlib.sha256(json.dumps([settings, list(named)]).encode())
        for tensor in (*named.values(), first.pieces):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(raw(tensor))
        self.training = digest.hexdigest()
        self.due = time.perf_counter() + self.seconds

    def resume(self) -> tuple[list[Tensor], int, float] | None:
        """Put the state back; gives the losses, tokens and seconds so far, or None where there is no checkpoint."""
        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, framework="pt") as opened:
                about = json.loads(opened.metadata()["about"])
                state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            damaged = about["checksum"] != _checksum(state)
        except Exception:  # a file that was cut short or overwritten fails in many ways
            damaged = True
        if damaged or about["training"] != self.training:
            reason = "is damaged" if damaged else "belongs to another training"
            self.say(f"the checkpoint {self.file} {reason}, so this one starts from the beginning")
            return None
        torch.set_rng_state(state.pop("random"))
        if "random_gpu" in state:
            torch.cuda.set_rng_state(state.pop("random_gpu"))
        losses = list(state.pop("losses").to(self.device))
        for name, tensor in state.items():
            kind, _, parameter = name.partition("/")
            if kind == "weight":
                self.named[parameter].data.copy_(tensor)
            else:
                self.optimizer.state[self.named[parameter]][kind] = tensor.to(self.device)
        self.say(f"going on after update {len(losses)}, from the checkpoint of a run that was stopped")
        return losses, about["tokens"], about["seconds"]

    def write(self, losses: list[Tensor], tokens: int, seconds: float) -> None:
        """Replace the file in one go; a disk that is full costs the checkpoint and not the training."""
        began = time.perf_counter()
        state = {"losses": torch.stack(losses), "random": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["random_gpu"] = torch.cuda.get_rng_state()
        for name, parameter in self.named.items():
            kinds = {"weight": parameter.detach()} | self.optimizer.state.get(parameter, {})
            state |= {f"{kind}/{name}": tensor for kind, tensor in kinds.items()}
        state = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        about = {"training": self.training, "checksum": _checksum(state), "tokens": tokens, "seconds": seconds}
        try:
            sweep(self.file)
            with draft_of(self.file) as draft:
                save_file(state, draft, metadata={"about": json.dumps(about)})
        except Exception as problem:  # safetensors has no OSError for a full disk
            self.say(f"no checkpoint could be kept at {self.file}: {problem}")
        now = time.perf_counter()
        self.due = now + max(self.seconds, (now - began) / WRITING_SHARE)

    def remove(self) -> None:
        """The training is done: its checkpoint has served."""
        self.file.unlink(missing_ok=True)
        sweep(self.file)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    checksum = 0
    for name in sorted(tensors):
        checksum = zlib.crc32(raw(tensors[name]), zlib.crc32(name.encode(), checksum))
    return checksum
