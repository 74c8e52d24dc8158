from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    title: str
    members: tuple
    exit: int


@dataclass(frozen=True)
class Grouping:
    blocks: tuple
    by: str


def find_blocks(nodes):
    if len(nodes) <= 24:
        return Grouping(tuple(Block(n.title, (i,), i) for i, n in enumerate(nodes)), "x")
    out = []
    cur = []
    for i, n in enumerate(nodes):
        cur.append(i)
        t = n.layer.op_type
        nxt = nodes[i + 1].layer.op_type if i + 1 < len(nodes) else None
        if (
            (t in ("Add", "Concat", "Sum") and nxt != "Relu")
            or (t == "Relu" and i and nodes[i - 1].layer.op_type in ("Add", "Sum"))
            or t.endswith("Pool")
            or nxt is None
        ):
            out.append(Block(f"block {len(out)}", tuple(cur), i))
            cur = []
    return Grouping(tuple(out), "x")
