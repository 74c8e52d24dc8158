"""Which layer of B is which of A."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from micam_fast.analyses.differences import diff
from micam_fast.analyses.differences.matching import Matching, match_layers
from micam_fast.analyses.differences.operations import family, kernel_size
from micam_fast.core.layers import Layer
from tests.helpers.differences import side
from tests.helpers.pictures import layer_map


def chain(*named: str) -> list[Layer]:
    """Layers one after the other, each as ``name:type``."""
    layers: list[Layer] = []
    for text in named:
        name, _, op_type = text.rpartition(":")
        inputs = (layers[-1].name,) if layers else ()
        layers.append(Layer(name, op_type, op_type, inputs))
    return layers


def layer(name: str, op_type: str, *inputs: str, kernel: tuple[int, ...] | None = None) -> Layer:
    return Layer(name, op_type, op_type, inputs, kernel_shape=kernel)


@pytest.mark.parametrize(
    ("op_type", "expected"),
    [
        ("QLinearConv", "Conv"), ("ConvInteger", "Conv"), ("FusedConv", "Conv"), ("Conv2D", "Conv"),
        ("QLinearGlobalAveragePool", "GlobalAveragePool"), ("NhwcMaxPool", "MaxPool"),
        ("MatMulInteger", "MatMul"), ("MatMulIntegerToFloat", "MatMul"), ("QGemm", "MatMul"),
        ("DynamicQuantizeMatMul", "MatMul"), ("Gemm", "MatMul"), ("FusedGemm", "MatMul"),
        ("DynamicQuantizeLSTM", "LSTM"), ("QLinearAdd", "Add"), ("Relu", "Relu"),
        ("Flatten", "Reshape"), ("InputLayer", "Input"), ("ConvTranspose", "ConvTranspose"),
        ("Conv3DTranspose", "ConvTranspose"), ("DepthwiseConv1D", "Conv"), ("Dense", "MatMul"),
        ("GlobalMaxPooling1D", "GlobalMaxPool"), ("AveragePooling3D", "AveragePool"),
        ("ReLU", "Relu"), ("LeakyReLU", "LeakyRelu"), ("MyConv2D", "MyConv2D"),
        ("SeparableConv2D", "SeparableConv2D"),
    ],
)  # fmt: skip
def test_an_operation_has_one_family(op_type: str, expected: str) -> None:
    assert family(layer("a", op_type)) == expected


@pytest.mark.parametrize(
    ("op_type", "function", "expected"),
    [
        ("Activation", "silu", "SiLU"), ("Activation", "swish", "SiLU"),
        ("Activation", "hard_silu", "HardSwish"), ("Activation", "relu", "Relu"),
        ("Activation", "relu6", "Clip"), ("ReLU", "relu6", "Clip"),
        ("ReLU", None, "Relu"), ("ReLU", "relu with limits", "Activation"),
        ("Activation", "mine", "Activation"), ("Activation", None, "Activation"),
        ("Dense", "softmax", "MatMul"),
    ],
)  # fmt: skip
def test_a_layer_that_is_a_function_has_its_family(
    op_type: str, function: str | None, expected: str
) -> None:
    assert family(dataclasses.replace(layer("a", op_type), activation=function)) == expected


@pytest.mark.parametrize(
    ("op_type", "kernel", "rank", "expected"),
    [
        ("Conv", (8, 3, 5, 7), 4, (8, 3, 5, 7)), ("Conv2D", (5, 7, 3, 8), 4, (8, 3, 5, 7)),
        ("Conv1D", (5, 3, 8), 3, (8, 3, 5)), ("Conv", (8, 3, 1, 5), 3, (8, 3, 5)),
        ("Conv", (8, 3, 1, 5), 4, (8, 3, 1, 5)), ("DepthwiseConv2D", (5, 7, 3, 2), 4, (6, 1, 5, 7)),
        ("ConvTranspose", (8, 6, 2, 3), 4, (8, 6, 2, 3)),
        ("Conv2DTranspose", (2, 3, 6, 8), 4, (8, 6, 2, 3)), ("Gemm", (4, 3), 2, (3, 4)),
        ("Dense", (3, 4), 2, (3, 4)), ("MyConv2D", (5, 7, 3, 8), 4, (5, 7, 3, 8)),
        ("Conv", None, 4, None),
    ],
)  # fmt: skip
def test_kernels_are_in_one_order(
    op_type: str, kernel: tuple[int, ...] | None, rank: int, expected: tuple[int, ...] | None
) -> None:
    found = dataclasses.replace(layer("a", op_type, kernel=kernel), output_shape=(None,) * rank)
    assert kernel_size(found) == expected


class TestNames:
    """What tools append to names does not count."""

    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ("conv", "conv_quant"), ("conv_quant", "conv"), ("conv_QuantizeLinear_Output", "conv"),
            ("conv_quantized", "conv_quant"), ("conv", "conv"),
            ("split:1", "split_quant:1"), ("split_quant:1", "split:1"),
        ],
    )  # fmt: skip
    def test_what_a_tool_appends_does_not_count(self, a: str, b: str) -> None:
        assert match_layers(chain(f"{a}:Conv"), chain(f"{b}:QLinearConv")).pairs == {a: b}

    def test_the_same_name_comes_first(self) -> None:
        ours, theirs = chain("a:Conv", "a_quant:Conv"), chain("a_quant:Conv", "a:Conv")
        assert match_layers(ours, theirs).pairs == {"a": "a", "a_quant": "a_quant"}

    def test_what_fits_two_is_not_matched(self) -> None:
        ours, theirs = (
            chain("x:Input", "a:Conv"),
            chain("x:Input", "a_quant:Conv", "a_quantized:Conv"),
        )
        assert match_layers(ours, theirs).pairs == {"x": "x"}

    def test_a_gemm_of_dynamic_codes_is_a_product(self) -> None:
        ours, theirs = (
            chain("d:Gemm", "e:Conv"),
            chain("d_MatMul_quant:MatMulInteger", "e_MatMul:Conv"),
        )
        assert match_layers(ours, theirs).pairs == {"d": "d_MatMul_quant"}

    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            ("10 2", "10 2", {"m.slice": "m.slice", "m.slice#2": "m.slice#2"}),
            ("10 2", "2 10", {"m.slice": "m.slice#2", "m.slice#2": "m.slice"}),
            ("10 4 2", "2 10", {"m.slice": "m.slice#2", "m.slice#3": "m.slice"}),
            ("10 2 2", "2 10", {"m.slice": "m.slice#2"}),
            ("10 ?", "10 2", {"m.slice": "m.slice", "m.slice#2": "m.slice#2"}),
            ("10", "2", {"m.slice": "m.slice"}),
        ],
    )  # fmt: skip
    def test_numbers_in_a_module_count_where_sizes_agree(
        self, a: str, b: str, expected: dict[str, str]
    ) -> None:
        """They tell the order in the file, and each exporter has its own."""
        ours, theirs = (
            [
                dataclasses.replace(
                    layer(f"m.slice#{n}" if n > 1 else "m.slice", "Slice"),
                    output_shape=(None, None if size == "?" else int(size)),
                    module="m",
                )
                for n, size in enumerate(sizes.split(), 1)
            ]
            for sizes in (a, b)
        )
        assert match_layers(ours, theirs).pairs == expected

    def test_halves_are_told_by_what_reads_them(self) -> None:
        ours, theirs = (
            [
                layer("x", "Input"),
                layer("m.split", "Split", "x"),
                layer("m.split#2", "Split", "x"),
                layer("m.conv", "Conv", first),
                layer("m.add", "Add", "m.conv", first),
                layer("m.concat", "Concat", "m.add", "m.split", "m.split#2"),
            ]
            for first in ("m.split", "m.split#2")
        )
        ours, theirs = (
            [dataclasses.replace(e, module="m") for e in side] for side in (ours, theirs)
        )
        pairs = match_layers(ours, theirs).pairs
        assert {name: pairs[name] for name in ("m.split", "m.split#2")} == {
            "m.split": "m.split#2", "m.split#2": "m.split",
        }  # fmt: skip

    def test_numbers_in_a_module_count_where_neighbours_agree(self) -> None:
        """Of two functions, the other file holds the first one within a convolution."""
        names = ("x:Input", "m.a:Conv", "m.relu:Relu", "m.b:Conv", "m.relu#2:Relu", "c:Conv")
        others = ("x:Input", "m.a:Conv", "m.b:Conv", "m.relu:Relu", "c:Conv")
        ours, theirs = (
            [dataclasses.replace(e, module="m" if "." in e.name else None) for e in chain(*each)]
            for each in (names, others)
        )
        found = match_layers(ours, theirs).pairs
        assert found == {"x": "x", "m.relu": "m.a", "m.b": "m.b", "m.relu#2": "m.relu", "c": "c"}


class TestFunctions:
    """One model computes in one layer what is several layers of the other one."""

    OURS = ("x:Input", "c:Conv", "bn:BatchNormalization", "r:Relu", "d:Conv")

    @pytest.mark.parametrize("swapped", [False, True])
    def test_the_last_one_is_matched(self, swapped: bool) -> None:
        ours, theirs = chain(*self.OURS), chain("x:Input", "c:Conv", "d:Conv")
        found = match_layers(*((theirs, ours) if swapped else (ours, theirs)))
        end = {"c": "r"} if swapped else {"r": "c"}
        assert found.pairs == {"x": "x", **end, "d": "d"}
        within = {"c": "r", "bn": "r"}
        assert found.within == (({}, within) if swapped else (within, {}))
        assert found.starts == {"c" if swapped else "r": ("c", "c")}

    def test_the_last_layer_of_all_may_have_one(self) -> None:
        found = match_layers(chain("x:Input", "c:Conv", "r:Relu"), chain("x:Input", "c:Conv"))
        assert found.pairs == {"x": "x", "r": "c"}

    def test_a_softmax_has_one_where_the_other_layer_says_so(self) -> None:
        """Else one model's last layer is logits, and the other one's probabilities."""
        ours = chain("x:Input", "d:MatMul", "s:Softmax")
        theirs = chain("x:Input", "d:Dense")
        assert match_layers(ours, theirs).pairs == {"x": "x", "d": "d"}
        theirs[1] = dataclasses.replace(theirs[1], activation="softmax")
        assert match_layers(ours, theirs).pairs == {"x": "x", "s": "d"}
        assert match_layers(theirs, ours).pairs == {"x": "x", "d": "s"}

    def test_what_others_read_before_it_stays(self) -> None:
        ours = [*chain("x:Input", "c:Conv", "r:Relu"), layer("add", "Add", "c", "r")]
        theirs = [*chain("x:Input", "c:Conv"), layer("add", "Add", "c")]
        assert match_layers(ours, theirs).pairs == {"x": "x", "c": "c", "add": "add"}

    def test_layers_of_one_name_that_do_other_things_have_none(self) -> None:
        """A Relu behind a convolution is not what an LSTM of the convolution's name makes."""
        ours = chain("x:Input", "c:Conv", "r:Relu", "d:Conv")
        found = match_layers(ours, chain("x:Input", "c:LSTM", "d:Conv"))
        assert found.pairs == {"x": "x", "c": "c", "d": "d"}
        assert found.starts == {}

    def test_another_operation_is_none(self) -> None:
        ours, theirs = (
            chain("x:Input", "c:Conv", "p:MaxPool", "d:Conv"),
            chain("x:Input", "c:Conv", "d:Conv"),
        )
        assert match_layers(ours, theirs).pairs == {"x": "x", "c": "c", "d": "d"}


class TestStructure:
    """Layers that do the same and read the same."""

    @staticmethod
    def matched(a: Sequence[Layer], b: Sequence[Layer]) -> Matching:
        return match_layers(a, b, "structure")

    def test_names_do_not_matter(self) -> None:
        ours = chain("x:Input", "c:Conv", "r:Relu", "d:Conv", "f:Flatten", "g:Gemm")
        theirs = chain("i:Input", "1:QLinearConv", "c:QLinearConv", "3:Reshape", "4:QGemm")
        found = self.matched(ours, theirs)
        assert found.pairs == {"x": "i", "r": "1", "d": "c", "f": "3", "g": "4"}

    def test_branches_are_told_apart_by_kernels_and_readers(self) -> None:
        def net(i: str, one: str, two: str, three: str, four: str, end: str) -> list[Layer]:
            return [
                layer(i, "Input"),
                layer(one, "Conv", i, kernel=(4, 3, 1, 1)),
                layer(two, "Conv", i, kernel=(4, 3, 3, 3)),
                layer(three, "Conv", i, kernel=(8, 3, 3, 3)),
                layer(four, "Sigmoid", two),
                layer(end, "Concat", one, four, three),
            ]

        found = self.matched(net(*"iabcde"), net(*"uvwxyz"))
        assert found.pairs == dict(zip("iabcde", "uvwxyz", strict=True))

    def test_what_stays_alike_is_not_matched(self) -> None:
        def net(i: str, *branches: str) -> list[Layer]:
            heads = [layer(name, "Conv", i, kernel=(4, 3, 3, 3)) for name in branches]
            return [layer(i, "Input"), *heads, layer(f"{i}-sum", "Add", *branches)]

        found = self.matched(net("i", "a", "b"), net("j", "c", "d"))
        assert found.pairs == {"i": "j", "i-sum": "j-sum"}
        named = self.matched(net("i", "a", "b"), net("j", "b_quant", "a_quant"))
        assert named.pairs == {"i": "j", "a": "a_quant", "b": "b_quant", "i-sum": "j-sum"}

    def test_layers_between_do_not_move_the_rest(self) -> None:
        """What only one model has is left out; what comes behind is found from the outputs on."""
        ours = chain("x:Input", "c:Conv", "p:MaxPool", "l:LRN", "f:Flatten", "g:Gemm", "s:Softmax")
        theirs = chain("i:Input", "1:Conv", "2:MaxPool", "3:Flatten", "4:Gemm", "5:Softmax")
        assert self.matched(ours, theirs).pairs == {
            "x": "i", "c": "1", "p": "2", "f": "3", "g": "4", "s": "5",
        }  # fmt: skip

    def test_orders_of_kernels_do_not_matter(self) -> None:
        def net(i: str, op_type: str, names: str, *kernels: tuple[int, ...]) -> list[Layer]:
            named = zip(names, kernels, strict=True)
            heads = [layer(name, op_type, i, kernel=kernel) for name, kernel in named]
            return [layer(i, "Input"), *heads]

        ours = net("i", "Conv2D", "ab", (3, 3, 4, 8), (3, 3, 4, 3))
        theirs = net("j", "Conv", "cd", (3, 4, 3, 3), (8, 4, 3, 3))
        assert self.matched(ours, theirs).pairs == {"i": "j", "a": "d", "b": "c"}

    def test_an_unknown_function_stands_between_what_is_matched(self) -> None:
        def net(*named: str) -> list[Layer]:
            return chain("x:Input", "c:Conv", *named, "p:MaxPool")

        ours = net("a:Activation")
        pairs = {"x": "x", "c": "c", "p": "p"}
        assert self.matched(ours, net("g:GELU")).pairs == pairs | {"a": "g"}
        assert self.matched(net("g:GELU"), ours).pairs == pairs | {"g": "a"}
        # It is no layer but a function, and one of two is not known.
        assert self.matched(ours, net("l:LRN")).pairs == pairs
        assert self.matched(ours, net("g:GELU", "r:Relu")).pairs == pairs
        # Two functions that are known differ.
        assert self.matched(net("r:Relu"), net("g:GELU")).pairs == pairs


class TestWhatDiffers:
    """Layers of one name are never compared in silence if they are not the same."""

    @staticmethod
    def compared(a: list[Layer], b: list[Layer]) -> tuple[str, tuple[str, ...]]:
        maps = [{each.name: layer_map([[1, 2]]) for each in layers} for layers in (a, b)]
        found = diff(*(side(m, layers=tuple(e)) for m, e in zip(maps, (a, b), strict=True)))
        last = found.layers[a[-1].name]
        assert (last.difference is None) is (last.note != "")
        return last.note, last.changes

    def test_types(self) -> None:
        ours, theirs = chain("x:Input", "a:Conv"), chain("x:Input", "a:LSTM")
        assert self.compared(ours, theirs) == ("A is Conv, B is LSTM", ())

    def test_kernels(self) -> None:
        ours = [layer("x", "Input"), layer("a", "Conv", "x", kernel=(4, 3, 3, 3))]
        theirs = [ours[0], dataclasses.replace(ours[1], kernel_shape=(4, 3, 5, 5))]
        assert self.compared(ours, theirs) == (
            "", ("kernels: A (4, 3, 3, 3), B (4, 3, 5, 5)",)
        )  # fmt: skip
        dense = [layer("x", "Input"), layer("a", "Gemm", "x", kernel=(4, 3))]
        turned = [ours[0], layer("a", "MatMulInteger", "x", kernel=(3, 4))]
        assert self.compared(dense, turned) == ("", ())

    def test_neighbours(self) -> None:
        ours = [*chain("x:Input", "c:Conv", "d:Conv"), layer("a", "Add", "c", "d")]
        theirs = [*ours[:3], layer("a", "Add", "x", "d")]
        assert self.compared(ours, theirs) == ("", ("reads: A c, d, B x, d",))
        named = [
            *chain("x:Input", "c_quant:QLinearConv", "d:Conv"),
            layer("a", "Add", "c_quant", "d"),
        ]
        assert self.compared(ours, named) == ("", ())

    def test_shapes(self) -> None:
        layers = (layer("a", "Conv"),)
        maps = [layer_map([[1, 2]], shape=(None, count, 1, 2)) for count in (8, 9)]
        found = diff(*(side({"a": each}, layers=layers) for each in maps)).layers["a"]
        assert found.changes == ("outputs: A (None, 8, 1, 2), B (None, 9, 1, 2)",)
        assert found.difference is not None

    def test_a_layer_of_b_whose_name_is_taken_keeps_its_place(self) -> None:
        ours = chain("x:Input", "a:Conv", "b:Softmax")
        theirs = chain("x:Input", "b:Conv", "a:LSTM")
        maps = [{each.name: layer_map([[1, 2]]) for each in layers} for layers in (ours, theirs)]
        sides = (side(m, layers=tuple(e)) for m, e in zip(maps, (ours, theirs), strict=True))
        found = diff(*sides, match="structure")
        assert list(found.layers) == ["x", "a", "b", "a (B)"]
        assert found.layers["a"].partner == theirs[1]
        assert (found.only_a, found.only_b) == (["b"], ["a (B)"])
        assert np.array_equal(found.layers["a"].difference, [[0, 0]])  # type: ignore[arg-type]

    def test_unknown_ways_are_refused(self) -> None:
        one = side({"a": layer_map([[1, 2]])}, layers=(layer("a", "Conv"),))
        with pytest.raises(ValueError, match=r"unknown match: 'luck' \(must be one of name"):
            diff(one, one, match="luck")  # type: ignore[arg-type]
