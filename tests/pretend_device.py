"""A GPU that is not there, for a machine that has none: what PyTorch would refuse on one is refused here too.

Tensors stay plain ones in the processor's memory, so values, gradients, inference mode and the identity of parameters
are the real ones. Beside that, it is on record which of them are on the device: `.to("cuda")` and `device="cuda"` put
them there, and what is computed of tensors that are there is there too. An operation on tensors of both places raises
PyTorch's own error where a GPU's kernel would. What a GPU's time goes into where a model is small is counted: kernels
that are launched, and waits of the host for the device. Kernels themselves, memory, streams and other processes are not
pretended.
"""

from __future__ import annotations

import collections
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from smaller.encoders import device

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")

_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}

_CROSSING = {"aten::copy_", "aten::_has_compatible_shallow_copy_type"}
"""What PyTorch does with tensors of two places: copies, and asking whether one may take the other's part."""


_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "is_nonzero", "bincount"}
"""What gives the host a number, or a size, that only the device knows."""


class Record:
    """Which tensors are on the device, and in `mixes` every operation that was refused, whoever caught its error.

    `launches` counts the kernels by the names of their operations, those that only change a type among them as "cast";
    an operation on a list of tensors counts as one. `waits` counts by what the host waits for and the project's line.
    """

    def __init__(self) -> None:
        self.mixes: list[str] = []
        self.launches: collections.Counter[str] = collections.Counter()
        self.waits: collections.Counter[str] = collections.Counter()
        self._storages: dict[int, StorageWeakRef] = {}
        self._pinned: dict[int, StorageWeakRef] = {}

    def pin(self, tensor: Tensor) -> Tensor:
        """A copy in memory from which the device reads by itself, while the host goes on."""
        made = tensor.clone()
        storage = _storage(made)
        self._pinned[storage._cdata] = StorageWeakRef(storage)
        return made

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether a tensor is in such memory."""
        found = self._pinned.get(_storage(tensor)._cdata)
        return found is not None and not found.expired()

    def wait(self, what: str) -> None:
        """Count a wait of the host, at the nearest line of the package."""
        frame = sys._getframe(1)
        while frame and "/smaller/" not in frame.f_code.co_filename:
            frame = frame.f_back
        where = f"{frame.f_code.co_filename.rpartition('/smaller/')[2]}:{frame.f_lineno}" if frame else "elsewhere"
        self.waits[f"{what} at {where}"] += 1

    def is_there(self, tensor: Tensor) -> bool:
        """Whether the tensor is on the device; views of one storage are in one place."""
        storage = _storage(tensor)
        if storage is None:
            return getattr(tensor, "_is_there", False)
        # As long as the reference is kept no other storage gets the address, so an entry is never another one's.
        return storage._cdata in self._storages

    def put(self, tensor: Tensor, there: bool) -> Tensor:
        """Enter where a tensor is that has a storage of its own; returns the tensor."""
        storage = _storage(tensor)
        if storage is None:
            tensor._is_there = there
        elif there:
            self._storages.setdefault(storage._cdata, StorageWeakRef(storage))
        else:
            self._storages.pop(storage._cdata, None)
        return tensor

    def refuse_mixed(self, operation: torch._ops.OpOverload, given: Sequence[Any], tensors: Sequence[Tensor]) -> None:
        """Raise what PyTorch raises, unless all tensors are in one place or a GPU's kernel takes them as they are."""
        strays = [tensor for tensor in tensors if not self.is_there(tensor)]
        if not strays or self._takes(operation, given, strays):
            return
        places = ", ".join(f"{tuple(one.shape)} on {'cuda' if self.is_there(one) else 'cpu'}" for one in tensors)
        self.mixes.append(f"{operation.name()}: {places}")
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
            f"cpu! ({self.mixes[-1]})"
        )

    def _takes(self, operation: torch._ops.OpOverload, given: Sequence[Any], strays: Sequence[Tensor]) -> bool:
        target_there = not isinstance(given[0], Tensor) or self.is_there(given[0])
        if operation._schema.name in _INDEXING:
            # The places may be on the processor, the values may not, but for a single one.
            values = [value for value in given[2:] if isinstance(value, Tensor)]
            return target_there and all(self.is_there(value) or value.ndim == 0 for value in values)
        single = torch.Tag.pointwise in operation.tags and all(tensor.ndim == 0 for tensor in strays)
        return single and (target_there or not operation._schema.is_mutable)


def _storage(tensor: Tensor) -> torch.UntypedStorage | None:
    try:
        with torch._C.DisableTorchFunction():
            return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):  # a sparse tensor has none of its own
        return None


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among the arguments or results of an operation, also those in lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _is_cuda(device: torch.device | str | int | None) -> bool:
    return device is not None and torch.device(device).type == "cuda"


class _Operations(TorchDispatchMode):
    """Every operation, also in the backward pass: refused, or its result put where its arguments are."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = list(_tensors((*args, *kwargs.values())))
        there = any(map(self.record.is_there, tensors))
        if _is_cuda(kwargs.get("device")):
            kwargs, there = kwargs | {"device": CPU}, True
        name = operation._schema.name
        if name == "aten::copy_" and len({self.record.is_there(tensor) for tensor in tensors}) > 1:
            self.record.wait("a copy in place")
        if not there or name in _CROSSING:
            return operation(*args, **kwargs)
        # A change of type is told the processor as its device: to PyTorch itself the tensor is there.
        if name != "aten::_to_copy":
            self.record.refuse_mixed(operation, args, tensors)
        own = {storage._cdata for storage in map(_storage, tensors) if storage is not None}
        made = operation(*args, **kwargs)
        self._count(operation, args, made, own)
        for tensor in _tensors([made]):
            self.record.put(tensor, True)
        return made

    def _count(self, operation: torch._ops.OpOverload, given: Sequence[Any], made: Any, own: set[int]) -> None:
        name = operation._schema.name.removeprefix("aten::")
        masked = operation._schema.name in _INDEXING and any(one.dtype == torch.bool for one in _tensors([given[1]]))
        if name in _WAITS or masked:
            self.record.wait(name + " by a mask" * masked)
        allocates = name.startswith("empty")
        fresh = not allocates and any(
            storage is None or storage._cdata not in own for storage in map(_storage, _tensors([made]))
        )
        if fresh or operation._schema.is_mutable:
            self.record.launches["cast" if name == "_to_copy" else name] += 1


_MOVES, _READS = {Tensor.to, Tensor.cpu}, {Tensor.numpy, Tensor.__array__}
_ANSWERED = {
    *_MOVES,
    *_READS,
    functional.dropout,
    Tensor.pin_memory,
    Tensor.__deepcopy__,
    Tensor.device.__get__,
    Tensor.is_cuda.__get__,
}


def _dropped(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return torch.native_dropout(values, p, training)[0] if training and p else values


class _Methods(TorchFunctionMode):
    """What a tensor answers before any operation runs: where it is, and moves that would be none to PyTorch itself."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in _ANSWERED:
            return function(*args, **kwargs)
        if function in _MOVES:
            return self._moved(args[0], *(args[1:] if function is Tensor.to else (CPU,)), **kwargs)
        if function is Tensor.pin_memory:
            return self.record.pin(args[0])
        if not self.record.is_there(args[0]):
            return function(*args, **kwargs)
        if function is functional.dropout:  # one kernel there, and several operations on the processor
            return _dropped(*args, **kwargs)
        if function in _READS:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                "host memory first."
            )
        if function is Tensor.__deepcopy__:
            return self.record.put(function(*args, **kwargs), True)
        return CUDA if function == Tensor.device.__get__ else True

    def _moved(self, tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):
            args = (CUDA if self.record.is_there(args[0]) else CPU, args[0].dtype)
        device, dtype, alone, layout = torch._C._nn._parse_to(*args, **kwargs)
        here = self.record.is_there(tensor)
        there = here if device is None else _is_cuda(device)
        if there == here and dtype in (None, tensor.dtype) and not copy:
            return tensor
        if there != here and not (alone and there and self.record.is_pinned(tensor)):
            self.record.wait("a copy to the device" if there else "a copy from the device")
        made = torch.Tensor.to(
            tensor, dtype=dtype or tensor.dtype, copy=True, memory_format=layout or torch.preserve_format
        )
        return self.record.put(made, there)


def _about_cuda(cards: int, memory: float) -> dict[str, Callable]:
    """What `torch.cuda` answers where there are GPUs that can do bfloat16, with so many bytes each."""
    state = torch.zeros(16, dtype=torch.uint8)
    return {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: cards,
        "get_device_properties": lambda *_: SimpleNamespace(total_memory=memory),
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "a pretended GPU",
        "is_bf16_supported": lambda **_: True,
        "max_memory_allocated": lambda *_: 1 << 20,
        "reset_peak_memory_stats": lambda *_: None,
        "synchronize": lambda *_: None,
        "get_rng_state": lambda *_: state.clone(),
        "set_rng_state": lambda *_: None,
        "manual_seed_all": lambda *_: None,
    }


@contextlib.contextmanager
def pretend_device(*, cards: int = 1, memory: float = 80e9) -> Iterator[Record]:
    """For a while there are GPUs with so many bytes each, which `device.device` finds as it finds real ones."""
    record = Record()
    autocast, grouped = torch.autocast.__init__, torch._C._group_tensors_by_device_and_dtype

    def autocast_here(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        autocast(self, "cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    def grouped_there(lists: list[list[Tensor]], *args: Any) -> dict:
        groups = grouped(lists, *args).items()
        firsts = [next(tensor for rows in group[0] for tensor in rows if tensor is not None) for _, group in groups]
        return {(first.device, kind): group for first, ((_, kind), group) in zip(firsts, groups, strict=True)}

    with (
        mock.patch.multiple(torch.cuda, **_about_cuda(cards, memory)),
        mock.patch.object(torch.autocast, "__init__", autocast_here),
        mock.patch.object(torch._C, "_group_tensors_by_device_and_dtype", grouped_there),
        contextlib.ExitStack() as answers,
    ):
        for answer in (device.device, device.half_precision):
            answer.cache_clear()
            answers.callback(answer.cache_clear)
        with _Operations(record), _Methods(record):
            yield record
