from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

from nst.network.tensor_file import TensorFileError, read_facts, read_tensors, write_tensors

CPU = torch.device("cpu")
DENSE = {
    "rows": torch.rand(2, 3, 4, 5),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "turned": torch.rand(4, 5).T,
    "a number": torch.tensor(3.5),
    "one": torch.rand(1, 1, 1, 1),
    "truths": torch.tensor([True, False]),
    "whole": torch.tensor([2**62, -1]),
    "halves": torch.rand(3).bfloat16(),
    "odd": torch.tensor([torch.nan, torch.inf, -0.0]),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "new" / "tensors.safetensors"
    write_tensors(path, DENSE, {"step": 7, "cells": ["a", "é"]})
    return path


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def test_tensors_come_back_with_every_bit_and_stride(file):
    back = read_tensors(file, CPU)
    assert list(back) == list(DENSE)
    for name, tensor in DENSE.items():
        assert (back[name].dtype, back[name].shape) == (tensor.dtype, tensor.shape), name
        assert back[name].stride() == tensor.stride(), name
        assert bits(back[name]) == bits(tensor), name
        assert back[name].data_ptr() % 64 == 0, "as torch's own, for the same kernels"


def test_facts_come_back_without_the_tensors(file):
    assert read_facts(file) == {"step": 7, "cells": ["a", "é"]}


@pytest.mark.parametrize(
    "tensor",
    [torch.rand(3, 1).expand(3, 4), torch.rand(6, 4)[::2], torch.rand(4, 6)[:, 2]],
    ids=["repeated", "with gaps", "a column"],
)
def test_a_view_that_is_not_dense_is_written_as_its_values(tmp_path, tensor):
    write_tensors(tmp_path / "one", {"view": tensor}, {})
    assert torch.equal(read_tensors(tmp_path / "one", CPU)["view"], tensor)
    assert (tmp_path / "one").stat().st_size < 600, "and not what it is a view of"


def test_tensors_may_share_their_memory(tmp_path):
    both = {"one": DENSE["rows"], "other": DENSE["rows"]}
    write_tensors(tmp_path / "shared", both, {})
    assert torch.equal(read_tensors(tmp_path / "shared", CPU)["other"], DENSE["rows"])


def test_the_format_s_own_library_reads_it(file):
    with safe_open(file, framework="pt") as opened:
        assert torch.equal(opened.get_tensor("rows"), DENSE["rows"].reshape(-1))
        assert set(opened.keys()) == {*DENSE, "checksum"}


def test_any_damaged_byte_is_noticed(file):
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        file.write_bytes(damaged)
        try:
            facts, tensors = read_facts(file), read_tensors(file, CPU)
        except TensorFileError:
            continue
        # What only other readers of the format need may change without harm.
        assert facts == {"step": 7, "cells": ["a", "é"]}
        assert all(bits(tensors[name]) == bits(tensor) for name, tensor in DENSE.items())
        assert all(tensors[name].stride() == tensor.stride() for name, tensor in DENSE.items())


@pytest.mark.parametrize("kept", [0, 3, 8, 100, -1000, -9, -1])
def test_a_file_that_was_cut_off_is_noticed(file, kept):
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(TensorFileError):
        read_tensors(file, CPU)


def test_a_file_with_something_behind_it_is_noticed(file):
    file.write_bytes(file.read_bytes() + b"?")
    with pytest.raises(TensorFileError, match="checksum"):
        read_tensors(file, CPU)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04.", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}", b"\x02" + b"\0" * 7 + b"[]"],
)
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(TensorFileError, match="its header cannot be read"):
        read_facts(tmp_path / "other")


def test_a_failed_writing_leaves_the_file_as_it_was(file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr(
        "nst.system.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, ""))
    )
    with pytest.raises(OSError, match="28"):
        write_tensors(file, {"other": torch.zeros(1)}, {})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
