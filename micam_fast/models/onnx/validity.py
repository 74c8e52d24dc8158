"""Is a model as ONNX defines it? Looked at before anything else reads the graph.

ONNX Runtime asks the same questions later, and more; but what is read of a graph until then must
not stumble, and must not ask for memory that a file only promises.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import onnx

from micam_fast.core.errors import ModelError
from micam_fast.models.onnx import files, limits
from micam_fast.models.onnx.operator_row import ONNX_DOMAINS, REORDERED_DOMAINS

_KINDS = onnx.AttributeProto.AttributeType
# The field that holds an attribute of each kind.
_FIELDS = {
    _KINDS.FLOAT: "f", _KINDS.INT: "i", _KINDS.STRING: "s", _KINDS.TENSOR: "t", _KINDS.GRAPH: "g",
    _KINDS.SPARSE_TENSOR: "sparse_tensor", _KINDS.TYPE_PROTO: "tp", _KINDS.FLOATS: "floats",
    _KINDS.INTS: "ints", _KINDS.STRINGS: "strings", _KINDS.TENSORS: "tensors",
    _KINDS.GRAPHS: "graphs", _KINDS.SPARSE_TENSORS: "sparse_tensors",
    _KINDS.TYPE_PROTOS: "type_protos",
}  # fmt: skip
# Numbers and texts may be left out where they are zero or empty.
_NEEDED = {"t", "g", "sparse_tensor", "tp"}
_HAS_ALL = frozenset(_FIELDS.values())
# Lists with a number for each axis, or two.
_OF_AXES = {"axes", "dilations", "kernel_shape", "output_padding", "output_shape", "pads", "perm",
            "strides"}  # fmt: skip
_AGAIN = "export the model again"
_NEWEST_OPSET = 1000
_Schema = tuple[range, range, dict[str, int], frozenset[str]]


def check_structure(model: files.OnnxFile) -> None:
    """Raise unless a model's graph, with its subgraphs and functions, can be read.

    Raises
    ------
    ModelError
        With what is wrong, and where.
    """
    _StructureCheck(model).run()


class _StructureCheck:
    def __init__(self, model: files.OnnxFile) -> None:
        self.model, self.name = model, model.name
        self.bytes = 0
        self.opset = 0

    def run(self) -> None:
        proto = self.model.proto
        self._texts("the graph", [proto.graph.name])
        for domain, version in {(each.domain, each.version) for each in proto.opset_import}:
            self._texts("an opset", [domain])
            if domain in ONNX_DOMAINS:
                if not 1 <= version <= _NEWEST_OPSET or self.opset:
                    self._fail(f"opset {version} is none, or one of two; export the model again")
                self.opset = version
        self._count()
        for function in proto.functions:
            names = [function.name, function.domain, function.overload, *function.input]
            self._texts("a function", names, function.output)
            for node in function.node:
                self._node(node, inside=True)
        for node in proto.graph.node:
            self._node(node, inside=False)
        for graph, _ in self._graphs():
            self._graph(graph)
        self._values(proto.graph)

    def _fail(self, what: str) -> None:
        raise ModelError(f"model {self.name!r}: {what}")

    def _refuse(
        self, node: onnx.NodeProto, why: str, attribute: str = "", remedy: str = _AGAIN
    ) -> None:
        """Raise for a node, or for an attribute of it."""
        place = f"{node.name or next(iter(node.output), '')!r} ({node.op_type})"
        whole = f"attribute {attribute!r} of node {place}" if attribute else f"node {place}"
        self._fail(f"{whole} {why}; {remedy}")

    def _graphs(self) -> Iterator[tuple[onnx.GraphProto, int]]:
        """All graphs, the outer one first, and how deep each lies."""
        proto = self.model.proto
        yield proto.graph, 1
        waiting = [(list(proto.graph.node), 1), *((list(f.node), 1) for f in proto.functions)]
        while waiting:
            nodes, depth = waiting.pop()
            for node in nodes:
                for body in files.bodies(node):
                    yield body, depth + 1
                    waiting.append((list(body.node), depth + 1))

    def _count(self) -> None:
        nodes = sum(len(each.node) for each in self.model.proto.functions)
        values = 0
        remedy = "cut out a part with onnx.utils.extract_model"
        for graph, depth in self._graphs():
            nodes += len(graph.node)
            values += len(graph.initializer) + len(graph.sparse_initializer)
            values += len(graph.input) + len(graph.output)
            limits.refuse_more(self.name, nodes, limits.MOST_NODES, "operators", remedy)
            what = "weights, inputs and outputs"
            limits.refuse_more(self.name, values, limits.MOST_VALUES, what, remedy)
            limits.refuse_more(self.name, depth, limits.DEEPEST, "graphs within each other", remedy)

    def _texts(self, what: str, *names: Sequence[str]) -> None:
        most = limits.LONGEST_NAME
        for group in names:
            try:
                length = len("".join(group))
            except TypeError:
                raise ModelError(
                    f"model {self.name!r}: a name in {what} is no UTF-8 text; the file is damaged"
                ) from None
            if length > most and (longest := max(map(len, group))) > most:
                characters = f"{longest:,} characters, and at most {most:,} are read"
                self._fail(f"a name in {what} has {characters}; rename it")

    # --- Operators -----------------------------------------------------------------------------

    def _node(self, node: onnx.NodeProto, *, inside: bool) -> None:
        """Check a node; one `inside` of a function may take attributes from its call."""
        self._texts("a node", [node.name, node.op_type, node.domain, node.overload])
        self._texts("a node's inputs or outputs", node.input, node.output)
        if not node.output:
            self._refuse(node, "has no output")
        if node.domain in REORDERED_DOMAINS:
            why = "is what ONNX Runtime made of another one for a single kind of processor"
            self._refuse(node, why, remedy="use the file before its optimization")
        kinds: dict[str, int] = {}
        for attribute in node.attribute:
            self._attribute(node, attribute, inside)
            kinds[attribute.name] = attribute.type
            for subgraph in files.subgraphs(attribute):
                for inner in subgraph.node:
                    self._node(inner, inside=inside)
        if len(kinds) < len(node.attribute):
            self._refuse(node, "has an attribute twice")
        if node.domain in ONNX_DOMAINS and self.opset:
            self._check_schema(node, kinds)

    def _attribute(
        self, node: onnx.NodeProto, attribute: onnx.AttributeProto, inside: bool
    ) -> None:
        name = attribute.name
        self._texts("an attribute", [name, attribute.ref_attr_name])
        field = _FIELDS.get(attribute.type)
        filled = {each[0].name for each in attribute.ListFields()} & _HAS_ALL
        if attribute.ref_attr_name and not inside:
            self._refuse(node, "is to come from a function's call, and there is none", name)
        empty = field in _NEEDED and not filled and not attribute.ref_attr_name
        if field is None or not filled <= {field} or empty:
            self._refuse(node, "is not of the type that it says", name, "the file is damaged")
        if name in _OF_AXES and (count := len(attribute.ints)) > 2 * limits.MOST_AXES:
            self._refuse(node, f"has {count:,} numbers, for at most {limits.MOST_AXES} axes", name)
        if name == "num_outputs" and attribute.i != len(node.output):
            self._refuse(node, f"splits into {attribute.i:,} values and gives {len(node.output)}")
        for tensor in (attribute.t, *attribute.tensors):
            if tensor.data_type or tensor.dims:
                self._tensor(tensor)
        for sparse in files.sparse_tensors(attribute):
            self._sparse(sparse)

    def _check_schema(self, node: onnx.NodeProto, kinds: dict[str, int]) -> None:
        schema = _schema(node.op_type, self.opset)
        if schema is None:
            # ONNX Runtime names what it does not know.
            return
        inputs, outputs, types, required = schema
        if len(node.input) not in inputs or len(node.output) not in outputs:
            counts = f"reads {len(node.input)} values and gives {len(node.output)}"
            self._refuse(node, f"{counts}, which no {node.op_type} does")
        for name, kind in kinds.items():
            if (taken := types.get(name, kind)) != kind:
                takes = f"{node.op_type} takes {_KINDS.Name(taken)}"
                self._refuse(node, f"is of the type {_KINDS.Name(kind)}, and {takes}", name)
        if missing := required - kinds.keys():
            self._refuse(node, f"has no attribute {min(missing)!r}, which {node.op_type} needs")

    # --- Values --------------------------------------------------------------------------------

    def _graph(self, graph: onnx.GraphProto) -> None:
        for value in (*graph.input, *graph.output, *graph.value_info):
            self._texts("the graph's values", [value.name])
            dims = value.type.tensor_type.shape.dim
            if len(dims) > limits.MOST_AXES:
                fits = f"at most {limits.MOST_AXES} fit"
                self._fail(f"value {value.name!r} has {len(dims):,} axes, {fits}")
        for tensor in graph.initializer:
            self._tensor(tensor)
        for sparse in graph.sparse_initializer:
            self._sparse(sparse)

    def _values(self, graph: onnx.GraphProto) -> None:
        """Every value of the outer graph is made once."""
        held = {tensor.name for tensor in graph.initializer}
        held.update(sparse.values.name for sparse in graph.sparse_initializer)
        if "" in held or any(not value.name for value in graph.input):
            self._fail("an input or a weight has no name; export the model again")
        fed = {value.name for value in graph.input}
        if len(fed) < len(graph.input):
            self._fail("two inputs have the same name; export the model again")
        made = held | fed
        for node in graph.node:
            for name in node.output:
                if name and name in made:
                    self._fail(f"value {name!r} is made twice; export the model again")
                made.add(name)
        for value in graph.output:
            if not value.name or value.name not in made:
                self._fail(f"no node makes the output {value.name!r}; export the model again")

    def _tensor(self, tensor: onnx.TensorProto) -> None:
        self._texts("a weight", [tensor.name])
        label = f"tensor {tensor.name!r}"
        dims = self._dims(label, tensor.dims)
        if not tensor.data_type or tensor.data_type not in onnx.TensorProto.DataType.values():
            self._fail(f"{label} has the unknown element type {tensor.data_type}")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            self._add(label, dims, files.promised_bytes(tensor))
        elif (held := _held(tensor)) != (promised := _promised(tensor)):
            self._fail(
                f"{label} of shape {dims} holds {held} numbers or bytes where {promised} are "
                "expected; the file is damaged"
            )

    def _sparse(self, sparse: onnx.SparseTensorProto) -> None:
        label = f"sparse tensor {sparse.values.name!r}"
        self._tensor(sparse.values)
        self._tensor(sparse.indices)
        dims = self._dims(label, sparse.dims)
        ranks = len(sparse.values.dims), len(sparse.indices.dims)
        if ranks not in ((1, 1), (1, 2)) or sparse.indices.data_type != onnx.TensorProto.INT64:
            self._fail(f"{label} has no list of values and whole numbers for their places")
        # Whoever reads it makes it dense.
        bits = files.element_bits(sparse.values.data_type)
        self._add(label, dims, math.prod(sparse.dims) * bits // 8)

    def _dims(self, label: str, dims: Sequence[int]) -> str:
        if len(dims) > limits.MOST_AXES:
            most = limits.MOST_AXES
            self._fail(f"{label} has {len(dims):,} axes, and at most {most} are read")
        text = limits.shown(str(list(dims)))
        if min(dims, default=0) < 0:
            self._fail(f"{label} has the shape {text}; the file is damaged")
        return text

    def _add(self, label: str, dims: str, size: int) -> None:
        """Count what is not in the file itself."""
        self.bytes += size
        if self.bytes > (most := limits.largest_value()):
            self._fail(
                f"with {label} of shape {dims} its weights take {self.bytes / 2**30:,.1f} GiB, "
                f"more than half of this machine's memory ({most / 2**30:,.1f} GiB)"
            )


def _held(tensor: onnx.TensorProto) -> int:
    """How many bytes, or entries of its list, a tensor has."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    return len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))


def _promised(tensor: onnx.TensorProto) -> int:
    """How many it must have."""
    bits = files.element_bits(tensor.data_type)
    if tensor.HasField("raw_data"):
        return files.promised_bytes(tensor)
    count = math.prod(tensor.dims)
    if tensor.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        return 2 * count
    return -(-count * bits // 8) if bits < 8 else count


@functools.cache
def _schema(op_type: str, opset: int) -> _Schema | None:
    """How many inputs and outputs an operator of ONNX has, and its attributes' types."""
    try:
        found: Any = onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return None
    return (
        range(found.min_input, found.max_input + 1),
        range(found.min_output, found.max_output + 1),
        {name: _KINDS.Value(each.type.name) for name, each in found.attributes.items()},
        frozenset(name for name, each in found.attributes.items() if each.required),
    )
