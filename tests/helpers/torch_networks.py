"""Networks that people train with PyTorch, of small widths: written as their libraries write them.

Each takes a picture of 3 channels. The names of modules are those of torchvision, timm or the
papers' own code, as far as a small network has them.
"""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
nn, functional = torch.nn, torch.nn.functional


class BasicBlock(nn.Module):
    """Of ResNet-18: one ReLU called twice, a shortcut that may be a convolution."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: Any = None
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Any) -> Any:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """ResNet-18 of two stages."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width, 1), BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(
            BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width, 1)
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, 10)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(x, 1))


class DenseLayer(nn.Module):
    """A layer of DenseNet that reads all maps before it."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(before, 2 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Any]) -> Any:
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    """Layers that each read what all before them gave."""

    def __init__(self, count: int, before: int, growth: int) -> None:
        super().__init__()
        for index in range(count):
            self.add_module(f"denselayer{index + 1}", DenseLayer(before + index * growth, growth))

    def forward(self, x: Any) -> Any:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Sequential):
    """Half as many maps of half the size."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(before, before // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2, 2)


class DenseNet(nn.Module):
    """Two dense blocks; functions at the end of the network itself."""

    def __init__(self, growth: int = 4) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 2 * growth, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(2 * growth))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        self.features.add_module("denseblock1", DenseBlock(3, 2 * growth, growth))
        self.features.add_module("transition1", Transition(5 * growth))
        self.features.add_module("denseblock2", DenseBlock(2, 5 * growth // 2, growth))
        last = 5 * growth // 2 + 2 * growth
        self.features.add_module("norm5", nn.BatchNorm2d(last))
        self.classifier = nn.Linear(last, 10)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.features(x), inplace=True)
        x = functional.adaptive_avg_pool2d(x, (1, 1))
        return self.classifier(torch.flatten(x, 1))


class ConvNormActivation(nn.Sequential):
    """A convolution, its normalization, and an activation where there is one."""

    def __init__(
        self, before: int, after: int, size: int, stride: int, groups: int, activation: Any
    ) -> None:
        steps = [
            nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(after),
        ]
        super().__init__(*steps, *([] if activation is None else [activation()]))


class SqueezeExcitation(nn.Module):
    """A gate for each channel; a block multiplies by it within."""

    def __init__(self, width: int, squeezed: int, activation: Any, scale: Any) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)
        self.activation = activation()
        self.scale_activation = scale()

    def forward(self, x: Any) -> Any:
        gate = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return self.scale_activation(gate) * x


class InvertedResidual(nn.Module):
    """Of MobileNetV3 and EfficientNet: wide within, a gate, a sum where sizes agree."""

    def __init__(
        self, before: int, wide: int, after: int, stride: int, activation: Any, gate: Any
    ) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and before == after
        steps: list[Any] = [ConvNormActivation(before, wide, 1, 1, 1, activation)]
        steps.append(ConvNormActivation(wide, wide, 3, stride, wide, activation))
        if gate is not None:
            steps.append(SqueezeExcitation(wide, wide // 4, *gate))
        steps.append(ConvNormActivation(wide, after, 1, 1, 1, None))
        self.block = nn.Sequential(*steps)

    def forward(self, x: Any) -> Any:
        result = self.block(x)
        return result + x if self.use_res_connect else result


class MobileNetV3(nn.Module):
    """Squeeze-excite, hard swish, and a head of two dense layers."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        gate = (nn.ReLU, nn.Hardsigmoid)
        self.features = nn.Sequential(
            ConvNormActivation(3, width, 3, 2, 1, nn.Hardswish),
            InvertedResidual(width, 2 * width, width, 1, nn.ReLU, gate),
            InvertedResidual(width, 3 * width, 2 * width, 2, nn.Hardswish, None),
            InvertedResidual(2 * width, 4 * width, 2 * width, 1, nn.Hardswish, gate),
            ConvNormActivation(2 * width, 6 * width, 1, 1, 1, nn.Hardswish),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * width, 4 * width), nn.Hardswish(inplace=True),
            nn.Dropout(p=0.2, inplace=True), nn.Linear(4 * width, 10),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class EfficientNet(nn.Module):
    """SiLU everywhere, a sigmoid as the gate."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        gate = (nn.SiLU, nn.Sigmoid)
        self.features = nn.Sequential(
            ConvNormActivation(3, width, 3, 2, 1, nn.SiLU),
            nn.Sequential(InvertedResidual(width, 2 * width, width, 1, nn.SiLU, gate)),
            nn.Sequential(
                InvertedResidual(width, 3 * width, 2 * width, 2, nn.SiLU, gate),
                InvertedResidual(2 * width, 4 * width, 2 * width, 1, nn.SiLU, gate),
            ),
            ConvNormActivation(2 * width, 6 * width, 1, 1, 1, nn.SiLU),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=0.2), nn.Linear(6 * width, 10))

    def forward(self, x: Any) -> Any:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class LayerNorm2d(nn.LayerNorm):
    """A layer normalization of channels that lie before the positions."""

    def forward(self, x: Any) -> Any:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    """A module that moves axes and computes nothing."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Any) -> Any:
        return torch.permute(x, self.axes)


class CNBlock(nn.Module):
    """Depthwise, then dense with the channels last, then a factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 7, padding=3, groups=width), Permute(0, 2, 3, 1),
            nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 4 * width), nn.GELU(),
            nn.Linear(4 * width, width), Permute(0, 3, 1, 2),
        )  # fmt: skip
        self.layer_scale = nn.Parameter(torch.rand(width, 1, 1))

    def forward(self, x: Any) -> Any:
        return x + self.layer_scale * self.block(x)


class ConvNeXt(nn.Module):
    """Two stages, a normalization and a convolution between them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, width, 4, 4), LayerNorm2d(width, eps=1e-6)),
            nn.Sequential(CNBlock(width), CNBlock(width)),
            nn.Sequential(LayerNorm2d(width, eps=1e-6), nn.Conv2d(width, 2 * width, 2, 2)),
            nn.Sequential(CNBlock(2 * width)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            LayerNorm2d(2 * width, eps=1e-6), nn.Flatten(1), nn.Linear(2 * width, 10)
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)))


class ConvBlock(nn.Module):
    """Of a YOLO: ``conv``, ``bn``, ``act``; all blocks may share the activation module."""

    def __init__(self, before: int, after: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(after)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Any) -> Any:
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions and a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1 = ConvBlock(width, width, 3)
        self.cv2 = ConvBlock(width, width, 3)

    def forward(self, x: Any) -> Any:
        return x + self.cv2(self.cv1(x))


class C2f(nn.Module):
    """Halves of a map, each step's result kept and joined."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.cv1 = ConvBlock(before, after)
        self.cv2 = ConvBlock(2 * after, after)
        self.m = nn.ModuleList(Bottleneck(after // 2) for _ in range(2))

    def forward(self, x: Any) -> Any:
        found = list(self.cv1(x).chunk(2, 1))
        found.extend(step(found[-1]) for step in self.m)
        return self.cv2(torch.cat(found, 1))


class SPPF(nn.Module):
    """One pool, called three times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1 = ConvBlock(width, width // 2)
        self.cv2 = ConvBlock(2 * width, width)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Any) -> Any:
        found = [self.cv1(x)]
        found.extend(self.m(found[-1]) for _ in range(3))
        return self.cv2(torch.cat(found, 1))


class Detect(nn.Module):
    """Boxes and classes of each scale, joined to one table."""

    def __init__(self, widths: tuple[int, ...], classes: int = 3) -> None:
        super().__init__()
        self.classes = classes
        self.cv2 = nn.ModuleList(
            nn.Sequential(ConvBlock(width, 8, 3), nn.Conv2d(8, 4, 1)) for width in widths
        )
        self.cv3 = nn.ModuleList(
            nn.Sequential(ConvBlock(width, 8, 3), nn.Conv2d(8, classes, 1)) for width in widths
        )

    def forward(self, scales: list[Any]) -> Any:
        found = [
            torch.cat([boxes(x), kinds(x)], 1).flatten(2)
            for x, boxes, kinds in zip(scales, self.cv2, self.cv3, strict=True)
        ]
        boxes, kinds = torch.cat(found, 2).split((4, self.classes), 1)
        return torch.cat([boxes, kinds.sigmoid()], 1)


class YOLO(nn.Module):
    """Three scales, up and joined; steps in one list, as their configuration numbers them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.model = nn.Sequential(
            ConvBlock(3, width, 3, 2), ConvBlock(width, width, 3, 2), C2f(width, width),
            ConvBlock(width, 2 * width, 3, 2), C2f(2 * width, 2 * width), SPPF(2 * width),
            nn.Upsample(scale_factor=2, mode="nearest"), C2f(3 * width, width),
            ConvBlock(width, width, 3, 2), C2f(3 * width, 2 * width),
            Detect((width, 2 * width)),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        step = self.model
        fine = step[2](step[1](step[0](x)))
        coarse = step[5](step[4](step[3](fine)))
        fine = step[7](torch.cat([step[6](coarse), fine], 1))
        coarse = step[9](torch.cat([step[8](fine), coarse], 1))
        return step[10]([fine, coarse])
