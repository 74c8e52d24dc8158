"""What the owner of a model should know of all its maps, in words."""

from __future__ import annotations

from micam_fast.core.texts import count_of


def notes_of(folded: int, random: str) -> tuple[str, ...]:
    """Notes on a model.

    Parameters
    ----------
    folded
        How many convolutions an exporter has folded a batch normalization into.
    random
        The operator that makes random numbers, or an empty text.
    """
    notes = []
    if folded:
        notes.append(
            f"batch normalizations were folded into {count_of(folded, 'convolution')} by the "
            "exporter; biases, and with them the published map, are not the trained ones. To keep "
            "them, export the model with micam_fast.export, or in PyTorch with "
            "torch.onnx.export(..., dynamo=True, optimize=False)"
        )
    if random:
        notes.append(f"the model makes random numbers ({random}): no two runs of it give the same")
    return tuple(notes)
