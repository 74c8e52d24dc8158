"""Small networks of PyTorch with tokens and windows, and a U-Net: see `torch_networks`."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra [torch] is not installed")
nn, functional = torch.nn, torch.nn.functional


class MLP(nn.Module):
    """Two dense layers and a GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Any) -> Any:
        return self.fc2(self.act(self.fc1(x)))


class WindowAttention(nn.Module):
    """Attention within windows, with a bias by relative place and a mask across their borders."""

    def __init__(self, width: int, window: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        places = torch.stack(
            torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        ).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + window - 1
        self.register_buffer("index", apart[0] * (2 * window - 1) + apart[1])
        self.proj = nn.Linear(width, width)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Any, mask: Any) -> Any:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.relative_position_bias_table[self.index].permute(2, 0, 1)
        if mask is not None:
            scores = scores.view(-1, mask.shape[0], self.heads, tokens, tokens) + mask[:, None]
            scores = scores.view(-1, self.heads, tokens, tokens)
        x = (self.softmax(scores) @ v).transpose(1, 2).reshape(batch, tokens, width)
        return self.proj(x)


class SwinBlock(nn.Module):
    """Windows of a picture that is rolled by half a window, or not."""

    def __init__(self, width: int, size: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, window, heads=2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width)
        self.register_buffer("mask", self._mask(size) if shift else None)

    def _mask(self, size: int) -> Any:
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        picture = torch.zeros(1, size, size, 1)
        for number, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
            picture[:, rows, columns] = number
        regions = self._windows(picture).squeeze(-1)
        apart = regions[:, None] != regions[:, :, None]
        return torch.zeros(apart.shape).masked_fill(apart, -100.0)

    def _windows(self, x: Any) -> Any:
        batch, height, width, channels = x.shape
        size = self.window
        x = x.view(batch, height // size, size, width // size, size, channels)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, channels)

    def forward(self, x: Any) -> Any:
        batch, height, width, channels = x.shape
        size = self.window
        found = self.norm1(x)
        if self.shift:
            found = torch.roll(found, (-self.shift, -self.shift), (1, 2))
        found = self.attn(self._windows(found), self.mask)
        found = found.view(batch, height // size, width // size, size, size, channels)
        found = found.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)
        if self.shift:
            found = torch.roll(found, (self.shift, self.shift), (1, 2))
        x = x + found
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    """Four neighbours to one place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Any) -> Any:
        rows = (x[:, 0::2], x[:, 1::2])
        x = torch.cat([row[:, :, start::2] for row in rows for start in (0, 1)], -1)
        return self.reduction(self.norm(x))


class Swin(nn.Module):
    """Shifted windows, the channels last throughout."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, 4, 4)
        self.norm0 = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            SwinBlock(width, 12, 4, 0), SwinBlock(width, 12, 4, 2), PatchMerging(width),
            SwinBlock(2 * width, 6, 3, 0),
        )  # fmt: skip
        self.norm = nn.LayerNorm(2 * width)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x: Any) -> Any:
        x = self.norm0(self.patch_embed(x).permute(0, 2, 3, 1))
        x = self.norm(self.layers(x)).permute(0, 3, 1, 2)
        return self.head(self.avgpool(x).flatten(1))


class EncoderBlock(nn.Module):
    """Of torchvision's ViT: attention by PyTorch's own module."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Any) -> Any:
        found = self.ln_1(x)
        found, _ = self.self_attention(found, found, found, need_weights=False)
        x = x + self.dropout(found)
        return x + self.mlp(self.ln_2(x))


class Attention(nn.Module):
    """Of timm's ViT: one dense layer for all three, the scaled product by PyTorch's function."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        x = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, width))


class TimmBlock(nn.Module):
    """A block as timm writes it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x: Any) -> Any:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches, a token for the class, places, a block of each kind."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, 8, 8)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embedding = nn.Parameter(torch.randn(1, 37, width))
        self.encoder = nn.Sequential(EncoderBlock(width), TimmBlock(width))
        self.ln = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Any) -> Any:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embedding
        return self.head(self.ln(self.encoder(x))[:, 0])


class DoubleConv(nn.Module):
    """Two convolutions with their normalizations."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.double_conv(x)


class Up(nn.Module):
    """Twice the size, padded to the skip, joined with it."""

    def __init__(self, before: int, after: int, *, learned: bool) -> None:
        super().__init__()
        self.up = (
            nn.ConvTranspose2d(before, before // 2, 2, 2)
            if learned
            else nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                nn.Conv2d(before, before // 2, 1),
            )
        )
        self.conv = DoubleConv(before, after)

    def forward(self, x: Any, skip: Any) -> Any:
        x = self.up(x)
        rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        left, top = columns // 2, rows // 2
        x = functional.pad(x, [left, columns - left, top, rows - top])
        return self.conv(torch.cat([skip, x], 1))


class UNet(nn.Module):
    """Skips, of which one is larger than what is brought up to it."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.inc = DoubleConv(3, width)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(width, 2 * width))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(2 * width, 4 * width))
        self.up1 = Up(4 * width, 2 * width, learned=True)
        self.up2 = Up(2 * width, width, learned=False)
        self.outc = nn.Conv2d(width, 2, 1)

    def forward(self, x: Any) -> Any:
        fine = self.inc(x)
        middle = self.down1(fine)
        x = self.up1(self.down2(middle), middle)
        return self.outc(self.up2(x, fine))
