"""Tensors in a file: written as a stream, read back the same in every bit and every stride.

The format is safetensors, so nothing in a file can run as code, and other programs can read it.
Its library is not used for three reasons. It wants all tensors on the CPU at once, and a GPU's
batch may be larger than the memory that a job asked for. It forgets strides, and sums over another
memory order round differently. And what it maps from a file starts at any address, where vector
code may take another path than over torch's own memory.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from nst.network.shapes import Tensor
from nst.system.files import atomic_file

DTYPES: Mapping[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.int64: "I64",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}
OWN = "nst"  # the entry of the format's metadata that is this module's
CHECKSUM = "checksum"  # CRC-32: of that entry beside it, of all the tensors as the last of them
LARGEST_HEADER = 100_000_000  # bytes, as in the format's own library


class TensorFileError(ValueError):
    """A file is not one that ``write_tensors`` wrote, or was damaged since."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors, from any device, and facts that JSON can hold; whole or not at all.

    The file is on the disk, and not only on its way there, when this returns. Raises ``OSError``
    as the file system does.
    """
    flat = {name: _in_memory_order(tensor) for name, tensor in tensors.items()}
    with atomic_file(path) as file:
        file.write(_header(flat, facts))
        checksum = 0
        for tensor in flat.values():
            content = _bytes(_line(tensor).cpu())
            checksum = zlib.crc32(content, checksum)
            file.write(content)
        file.write(struct.pack("<q", checksum))


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a file, without reading or checking its tensors.

    Raises:
        TensorFileError: it is not a file that ``write_tensors`` wrote.
    """
    with path.open("rb") as file:
        return dict(_read_header(file)["facts"])


def read_tensors(path: Path, device: torch.device) -> dict[str, Tensor]:
    """Return the tensors of a file, on ``device``.

    Raises:
        TensorFileError: a byte is not what was written.
    """
    with path.open("rb") as file:
        layouts = _read_header(file)["layouts"]
        checksum = 0
        tensors = {}
        for name, (code, shape, stride) in layouts.items():
            dtype = {code: dtype for dtype, code in DTYPES.items()}[code]
            line = torch.empty(math.prod(shape), dtype=dtype)
            content = _bytes(line)
            if file.readinto(content) != len(content):
                raise TensorFileError("it ends too early")
            checksum = zlib.crc32(content, checksum)
            tensors[name] = line.to(device).as_strided(shape, stride)
        if file.read() != struct.pack("<q", checksum):
            raise TensorFileError("its content does not have its checksum")
    return tensors


def _in_memory_order(tensor: Tensor) -> Tensor:
    """Return a tensor without gaps or repetitions in memory: itself, if it has none."""
    dense = torch.empty_like(tensor, device="meta").stride()  # keeps strides only where they are
    return tensor if tensor.stride() == dense else tensor.contiguous()


def _line(tensor: Tensor) -> Tensor:
    """View a dense tensor's values in the order in which they lie in memory."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _bytes(line: Tensor) -> memoryview:
    """View the memory of a tensor of one dimension on the CPU."""
    return memoryview(line.view(torch.uint8).numpy())  # type: ignore[arg-type]


def _header(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Return the format's header: its length, and a JSON object of what lies where.

    What this module needs itself is among the metadata, with a checksum of its own.
    """
    layouts = {
        name: (DTYPES[tensor.dtype], list(tensor.shape), tensor.stride())
        for name, tensor in tensors.items()
    }
    own = json.dumps({"facts": facts, "layouts": layouts})
    metadata = {OWN: own, CHECKSUM: str(zlib.crc32(own.encode()))}
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        code, offsets = DTYPES[tensor.dtype], [begin, end]
        entries[name] = {"dtype": code, "shape": [tensor.numel()], "data_offsets": offsets}
    entries[CHECKSUM] = {"dtype": "I64", "shape": [1], "data_offsets": [end, end + 8]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # the format's data begins at a multiple of 8
    return struct.pack("<Q", len(text)) + text


def _read_header(file: BinaryIO) -> dict[str, Any]:
    """Return what this module put into a header, and leave the file at its first tensor."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        metadata = json.loads(file.read(min(length, LARGEST_HEADER)))["__metadata__"]
        intact = zlib.crc32(metadata[OWN].encode()) == int(metadata[CHECKSUM])
        own: dict[str, Any] = json.loads(metadata[OWN])
    except (ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise TensorFileError(f"its header cannot be read ({type(error).__name__})") from error
    if not intact:
        raise TensorFileError("its header does not have its checksum")
    return own
