"""Export small Swin-, NFNet-, ConvNeXt- and MobileViT-like modules in the ways a user would.

Needs torch, timm, onnxscript and onnxruntime, in an environment of its own: the tests read only
what this writes. The files in ``tests/data/exported.tar.xz`` were made with torch 2.13.0 (CPU) and
timm 1.0.31::

    python tools/export_modules.py --output-dir FOLDER
    python tools/export_modules.py --output-dir FOLDER --pack

Each file has a table beside it that says where the batch and the channels lie in its values;
`tests/helpers/measured_axes.py` measures that.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import sys
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import timm
import torch
from timm.layers import GroupNorm1
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.convnext import ConvNeXt
from timm.models.mobilevit import _inverted_residual_block
from timm.models.nfnet import NfCfg, NormFreeNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.exported_modules import ARCHIVE  # noqa: E402
from tests.helpers.measured_axes import Axes, measured_axes, value_sizes  # noqa: E402

Size = tuple[int, int]


@dataclass(frozen=True)
class Module:
    """A module of any width, the size of a picture, another size, and two widths."""

    make: Callable[[int, Size], torch.nn.Module]
    size: Size
    other: Size
    width: int = 8
    wide: int = 16


def swin(width: int, size: Size) -> torch.nn.Module:
    """Shifted windows for a picture of fixed size."""
    return SwinTransformer(
        img_size=size, patch_size=2, num_classes=5, embed_dim=width, depths=(2, 1),
        num_heads=(2, 2), window_size=4, mlp_ratio=2.0,
    )  # fmt: skip


def swin_any_size(width: int, size: Size) -> torch.nn.Module:
    """Shifted windows whose masks are computed for each picture."""
    return SwinTransformer(
        img_size=size, patch_size=2, num_classes=5, embed_dim=width, depths=(2, 1),
        num_heads=(2, 2), window_size=4, mlp_ratio=2.0, strict_img_size=False,
        dynamic_img_size=True, always_partition=True,
    )  # fmt: skip


def swin_v2(width: int, size: Size) -> torch.nn.Module:
    """Shifted windows with cosine attention."""
    return SwinTransformerV2(
        img_size=size, patch_size=2, num_classes=5, embed_dim=width, depths=(2, 1),
        num_heads=(2, 2), window_size=4, mlp_ratio=2.0,
    )  # fmt: skip


def nfnet(width: int, size: Size) -> torch.nn.Module:
    """Convolutions whose kernels are standardized in the forward pass."""
    configuration = NfCfg(
        depths=(1, 1), channels=(width, 2 * width), stem_type="3x3", stem_chs=width, ch_div=4,
        num_features=3 * width, attn_layer="se", attn_kwargs={"rd_ratio": 0.5},
    )  # fmt: skip
    return NormFreeNet(configuration, num_classes=5)


def nfnet_same(width: int, size: Size) -> torch.nn.Module:
    """The same with computed pads, groups, a deep stem and gains behind activations."""
    configuration = NfCfg(
        depths=(1, 1), channels=(width, 2 * width), stem_type="deep_quad", stem_chs=width,
        ch_div=4, group_size=4, extra_conv=True, gamma_in_act=True, same_padding=True,
        num_features=3 * width, attn_layer="se", attn_kwargs={"rd_ratio": 0.5}, skipinit=True,
        act_layer="gelu",
    )  # fmt: skip
    return NormFreeNet(configuration, num_classes=5)


def convnext(width: int, size: Size) -> torch.nn.Module:
    """Depthwise convolutions, and dense layers with the channels last."""
    return ConvNeXt(
        num_classes=5,
        depths=(1,) * 4,
        dims=(width, width, 2 * width, 2 * width),
        patch_size=2,
        ls_init_value=0.5,
    )


def convnext_v2(width: int, size: Size) -> torch.nn.Module:
    """The same with a normalization of responses over positions."""
    return ConvNeXt(
        num_classes=5, depths=(1,) * 4, dims=(width, width, 2 * width, 2 * width), patch_size=2,
        use_grn=True, ls_init_value=None,
    )  # fmt: skip


def mobilevit(width: int, size: Size) -> torch.nn.Module:
    """Patches folded into the batch axis, and into tokens of channels first."""
    configuration = ByoModelCfg(
        blocks=(
            _inverted_residual_block(d=1, c=width, s=2, br=2.0),
            ByoBlockCfg(
                type="mobilevit", d=1, c=width, s=1,
                block_kwargs={
                    "transformer_dim": width + width // 2, "transformer_depth": 1, "patch_size": 2,
                    "num_heads": 2,
                },
            ),
            _inverted_residual_block(d=1, c=2 * width, s=2, br=2.0),
            ByoBlockCfg(
                type="mobilevit2", d=1, c=2 * width, s=1,
                block_kwargs={
                    "transformer_depth": 1, "patch_size": 2, "transformer_norm_layer": GroupNorm1,
                },
            ),
        ),
        stem_chs=width, stem_type="3x3", stem_pool="", downsample="", act_layer="silu",
        num_features=3 * width,
    )  # fmt: skip
    return ByobNet(configuration, num_classes=5)


def vit(width: int, size: Size) -> torch.nn.Module:
    """Tokens with one for the class."""
    return VisionTransformer(
        img_size=size, patch_size=4, num_classes=5, embed_dim=width, depth=1, num_heads=2,
        mlp_ratio=2.0,
    )  # fmt: skip


class Recognizer(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where mypy runs
    """A reader of lines: convolutions until one row is left, then an LSTM along the columns."""

    def __init__(self, width: int, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.conv1 = torch.nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm1 = torch.nn.BatchNorm2d(width)
        self.conv2 = torch.nn.Conv2d(width, 2 * width, 3, stride=(2, 1), padding=1)
        self.pool = torch.nn.MaxPool2d((4, 1))
        self.conv3 = torch.nn.Conv2d(2 * width, 2 * width, (1, 3), padding=(0, 1), bias=False)
        self.norm3 = torch.nn.BatchNorm2d(2 * width)
        self.rnn = torch.nn.LSTM(
            2 * width, width, bidirectional=True, num_layers=2, batch_first=batch_first
        )
        self.head = torch.nn.Linear(2 * width, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From pictures to logarithms of probabilities, one row of them for each column."""
        x = torch.relu(self.norm1(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.relu(self.norm3(self.conv3(x))).squeeze(2)
        x = x.permute(0, 2, 1) if self.batch_first else x.permute(2, 0, 1)
        return self.head(self.rnn(x)[0]).log_softmax(2)


def recognizer(width: int, size: Size) -> torch.nn.Module:
    """A reader whose LSTM walks along the first axis."""
    return Recognizer(width, batch_first=False)


def recognizer_batch_first(width: int, size: Size) -> torch.nn.Module:
    """A reader whose LSTM walks along the second axis."""
    return Recognizer(width, batch_first=True)


MODULES = {
    "swin": Module(swin, (32, 24), (48, 40)),
    "swin_cube": Module(swin, (16, 16), (32, 48)),
    "swin_open": Module(swin_any_size, (32, 48), (48, 16)),
    "swin_v2": Module(swin_v2, (32, 24), (48, 40)),
    "nfnet": Module(nfnet, (24, 32), (40, 16)),
    "nfnet_same": Module(nfnet_same, (32, 48), (48, 32)),
    "nfnet_cube": Module(nfnet, (16, 16), (24, 40)),
    "convnext": Module(convnext, (32, 48), (48, 64)),
    "convnext_cube": Module(convnext, (32, 32), (48, 64)),
    "convnext_v2": Module(convnext_v2, (32, 48), (48, 64)),
    "mobilevit": Module(mobilevit, (32, 48), (48, 64)),
    "mobilevit_cube": Module(mobilevit, (32, 32), (48, 64)),
    "vit": Module(vit, (20, 24), (28, 16)),
    "recognizer": Module(recognizer, (16, 40), (16, 56)),
    "recognizer_batch_first": Module(recognizer_batch_first, (16, 16), (16, 56)),
}


@dataclass(frozen=True)
class Way:
    """How a user exports: which exporter, its opset, which axes stay open."""

    dynamo: bool
    opset: int
    batch: bool = False
    picture: bool = False
    options: tuple[tuple[str, Any], ...] = ()


FOLD, KEEP = (("do_constant_folding", True),), (("do_constant_folding", False),)
WAYS = {
    "ts11": Way(False, 11, options=FOLD),
    "ts13_batch": Way(False, 13, batch=True, options=FOLD),
    "ts17_batch_keep": Way(False, 17, batch=True, options=KEEP),
    "ts17_keep": Way(False, 17, options=KEEP),
    "ts12_open": Way(False, 12, batch=True, picture=True, options=FOLD),
    "ts18_open_keep": Way(False, 18, batch=True, picture=True, options=KEEP),
    "dynamo18": Way(True, 18),
    "dynamo18_batch": Way(True, 18, batch=True),
    "dynamo18_plain": Way(True, 18, batch=True, options=(("optimize", False),)),
    "dynamo20_open": Way(True, 20, batch=True, picture=True),
}


KEPT = {
    "swin": ["ts11", "ts13_batch", "ts17_keep", "ts17_batch_keep", "ts12_open", "dynamo18",
             "dynamo18_batch"],
    "swin_cube": ["ts12_open", "ts13_batch", "ts18_open_keep", "dynamo18_batch"],
    "swin_open": ["ts12_open", "dynamo20_open"],
    "nfnet": ["ts11", "ts17_batch_keep", "dynamo18"],
    "nfnet_same": ["ts12_open", "ts18_open_keep", "dynamo20_open"],
    "nfnet_cube": ["ts17_keep"],
    "convnext": ["ts11", "ts12_open", "dynamo18_batch"],
    "convnext_cube": ["ts12_open", "ts18_open_keep", "dynamo20_open"],
    "convnext_v2": ["ts12_open", "dynamo18_plain", "dynamo20_open"],
    "mobilevit": ["ts17_batch_keep", "ts18_open_keep", "dynamo18_batch"],
    "mobilevit_cube": ["ts17_keep", "dynamo20_open"],
    "vit": ["ts17_batch_keep", "ts18_open_keep", "dynamo18_batch"],
    "recognizer": ["ts12_open", "ts17_keep", "dynamo18_batch"],
    "recognizer_batch_first": ["ts12_open", "dynamo18_batch"],
}  # fmt: skip
"""What the archive keeps of all that is written."""


def build(module: Module, width: int, size: Size) -> torch.nn.Module:
    """The module with weights that leave no normalization and no scale as it was made."""
    torch.manual_seed(width)
    made = module.make(width, size).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
            parameter.copy_((parameter * 64).round() / 64)  # an archive holds them in less
        for name, buffer in made.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return made


def export(made: torch.nn.Module, size: Size, way: Way, batch: int = 1) -> onnx.ModelProto:
    """The module as a file; ``batch`` matters only where the axis is fixed."""
    example = torch.randn(3 if way.batch and way.dynamo else batch, 3, *size)
    names = {0: "N"} if way.batch else {}
    if way.picture:
        names |= {2: "H", 3: "W"}
    written = io.BytesIO()
    common = {"opset_version": way.opset, "input_names": ["image"], "output_names": ["scores"]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if not way.dynamo:
            torch.onnx.export(
                made, (example,), written, dynamo=False,
                dynamic_axes={"image": names} if names else None, **common, **dict(way.options),
            )  # fmt: skip
            return onnx.load_from_string(written.getvalue())
        shapes = dict.fromkeys(names, torch.export.Dim.DYNAMIC) if names else None
        program = torch.onnx.export(
            made, (example,), dynamo=True, dynamic_shapes=(shapes,) if shapes else None,
            verbose=False, **common, **dict(way.options),
        )  # fmt: skip
    made_file: onnx.ModelProto = program.model_proto
    for node in made_file.graph.node:
        # They hold paths of the machine, and are most of a file.
        kept = [p for p in node.metadata_props if p.key != "pkg.torch.onnx.stack_trace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return made_file


def measure(module: Module, way: Way, model: onnx.ModelProto) -> dict[str, Axes]:
    """Where the batch and the channels lie in each value of the exported file."""

    def sizes(width: int, size: Size, batch: int = 1) -> dict[str, list[int]]:
        again = export(build(module, width, size), size, way, batch)
        return value_sizes(again, (batch, 3, *size))

    def measured(size: Size, batch: int, is_open: bool) -> dict[str, list[int]]:
        """Of the file itself, unless an axis is fixed or the exporter baked a size into it."""
        if is_open:
            with contextlib.suppress(Exception):
                return value_sizes(model, (batch, 3, *size))
        return sizes(module.width, size, batch)

    plain = value_sizes(model, (1, 3, *module.size))
    wide = sizes(module.wide, module.size)
    larger = measured(module.other, 1, way.picture)
    many = measured(module.size, 3, way.batch)
    return measured_axes(plain, wide, larger, many)


def pack(folder: Path) -> None:
    """Keep some of the files in one archive: they share their weights, so that it stays small."""
    with tarfile.open(ARCHIVE, "w:xz", preset=9) as opened:
        for path in sorted(f"{name}-{way}" for name, ways in KEPT.items() for way in ways):
            for suffix in (".json", ".onnx"):
                content = (folder / f"{path}{suffix}").read_bytes()
                entry = tarfile.TarInfo(f"{path}{suffix}")
                entry.size = len(content)
                opened.addfile(entry, io.BytesIO(content))


def main() -> None:
    """Write what can be exported, and print what cannot."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output-dir", type=Path, required=True)
    arguments.add_argument("--only", default="", metavar="PART")
    arguments.add_argument("--pack", action="store_true")
    options = arguments.parse_args()
    if options.pack:
        pack(options.output_dir)
        return
    options.output_dir.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    print(f"torch {torch.__version__}, timm {timm.__version__}")
    for name, module in MODULES.items():
        for how, way in WAYS.items():
            path = options.output_dir / f"{name}-{how}.onnx"
            if options.only not in path.stem:
                continue
            try:
                model = export(build(module, module.width, module.size), module.size, way)
                axes = measure(module, way, model)
            except Exception as error:  # what an exporter cannot do is listed
                print(f"{path.stem}: {type(error).__name__}: {str(error).strip()[:150]!r}")
                continue
            onnx.save(model, path)
            told = {"shape": (3, *module.size), "axes": axes}
            path.with_suffix(".json").write_text(json.dumps(told))
            print(f"{path.stem}: {path.stat().st_size} bytes, {len(axes)} values of known axes")


if __name__ == "__main__":
    main()
