"""Small random graphs, the same for a seed in every run, with what is true of their layers."""

from tests.helpers.random_graphs.builder import (
    Convolution as Convolution,
    Drawn as Drawn,
    Layer as Layer,
    Value as Value,
)
from tests.helpers.random_graphs.drawing import (
    Simpler as Simpler,
    draw as draw,
)
