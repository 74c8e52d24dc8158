"""How a module is called, and what each of its modules gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from micam_fast.core.errors import ExportError
from micam_fast.models.pytorch.running import Call, evaluating, find_calling, to_numpy
from tests.helpers.torch_modules import Block, Residual, Tokens, nn, seeded, torch


@pytest.mark.parametrize("size", [(3, 8, 9), (1, 3, 8, 9)])
def test_a_batch_axis_is_added_where_there_is_none(size: tuple[int, ...]) -> None:
    found = find_calling(seeded(Residual), np.zeros(size, np.float32))
    assert [tuple(each.shape) for each in found.args] == [(1, 3, 8, 9)]
    assert found.names == ("x",)


def test_a_convolution_that_would_miss_the_batch_axis_tells() -> None:
    """Of one channel: PyTorch takes ``(1, 8, 9)`` as a picture without a batch."""
    found = find_calling(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), np.zeros((1, 8, 9)))
    assert tuple(found.args[0].shape) == (1, 1, 8, 9)
    assert found.args[0].dtype is torch.float32
    kept = find_calling(nn.Linear(6, 2), np.zeros((1, 6)))
    assert tuple(kept.args[0].shape) == (1, 6)


def test_arguments_are_told_by_place_or_by_name() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, image, table):  # type: ignore[no-untyped-def]
            return self.fc(image + table)

    image, table = torch.zeros(1, 4), torch.ones(1, 4)
    by_place = find_calling(Two(), (image, table))
    by_name = find_calling(Two(), {"table": table, "image": image})
    assert by_place.names == by_name.names == ("image", "table")
    assert by_name.args[1].sum() == 4
    with pytest.raises(ExportError, match="names image, depth; the module's arguments are image"):
        find_calling(Two(), {"image": image, "depth": table})


def test_what_cannot_be_run_says_so_in_a_line() -> None:
    with pytest.raises(
        ExportError, match=r"^PyTorch cannot run the module: RuntimeError: "
    ) as told:
        find_calling(seeded(Residual), np.zeros((4, 8, 9)))
    assert "\n" not in str(told.value)


def test_each_call_of_the_innermost_modules_is_told() -> None:
    module = seeded(Block, 4).eval()
    x = torch.randn(1, 4, 5, 6)
    found = find_calling(module, x).run()
    paths = ["conv1", "bn1", "relu", "conv2", "bn2", "relu", "head", "head", ""]
    numbers = [0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert list(found) == [Call(*each) for each in zip(paths, numbers, strict=True)]
    with torch.no_grad():
        np.testing.assert_array_equal(found[Call("conv1", 0)], module.conv1(x).numpy())
    assert [tuple(each.shape) for each in found.values()] == [(1, 4, 5, 6)] * 9


def test_a_module_whose_children_are_not_called_is_innermost() -> None:
    found = find_calling(seeded(Tokens), torch.randn(1, 3, 8, 8)).run()
    assert list(found) == [Call(path, 0) for path in ("patches", "attn", "norm", "fc", "")]
    assert found[Call("attn", 0)].shape == (1, 4, 8)


def test_a_module_is_left_as_it_was() -> None:
    module = seeded(Residual).train()
    module.layer1.eval()
    before = [each.training for each in module.modules()]
    with evaluating(module):
        assert not any(each.training for each in module.modules())
    assert [each.training for each in module.modules()] == before
    find_calling(module, torch.zeros(1, 3, 8, 9)).run()
    assert [each.training for each in module.modules()] == before
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


class Counting(nn.Module):
    """A module that counts its calls, in place and anew, and averages whatever its mode."""

    calls: Any
    anew: Any

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("anew", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.anew = self.anew + 1
        self.norm.train()
        return self.norm(x)


def test_what_a_module_counts_is_counted_for_its_owner_alone() -> None:
    module = Counting()
    before = {name: each.clone() for name, each in module.named_buffers()}
    held = module.calls
    find_calling(module, torch.randn(1, 4, 8)).run()
    for name, each in module.named_buffers():
        assert torch.equal(each, before[name]), name
    assert module.calls is held


def test_arrays_of_python_s_numbers_are_single_precision_without_weights_to_ask() -> None:
    found = find_calling(nn.ReLU(), np.zeros((1, 4)))
    assert found.args[0].dtype is torch.float32
    assert find_calling(nn.ReLU(), torch.zeros(1, 4).double()).args[0].dtype is torch.float64


def test_a_sample_of_no_numbers_is_refused() -> None:
    with pytest.raises(ExportError, match=r"the sample holds no numbers.*numpy.str_"):
        find_calling(nn.ReLU(), "cat.png")


def test_half_precision_is_kept_and_bfloat16_read() -> None:
    found = find_calling(nn.Linear(4, 2).half(), np.zeros((1, 4)))
    assert found.args[0].dtype is torch.float16
    array = to_numpy(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
    assert array.dtype == np.float32
    assert array.tolist() == [1, 1]
