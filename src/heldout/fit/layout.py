"""Where the numbers of one model lie in the kernel's flat arrays: rows padded by zeros to whole vectors.

A hidden layer's ``W`` is ``[stored inputs, columns]`` with columns a multiple of 16; the output layer's lies
transposed, ``[outputs, columns of its input]``. Inputs are stored to a multiple of 4 in the first layer
and of 16 behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldout.fit.mlp import Float32, MLPConfig

LANES, ROWS = 16, 4
# Fields of a layer, as columns of ``Layout.layers``. Offsets count elements; WEIGHTS and BIAS are offsets in the
# parameters, IN (the layer's input), SLOPE (slopes of its activation) and TURNED (its W transposed) in the scratch.
FIELDS = 10
WEIGHTS, BIAS, INPUTS, STORED, OUTPUTS, COLUMNS, IN, IN_ROW, SLOPE, TURNED = range(FIELDS)


class Layout:
    """The padded form of one configuration.

    Attributes:
        layers: int64 ``[layers, FIELDS]``.
        parameters: Length of the padded parameter vector.
        scratch: Length of the scratch vector.
        places: Place of each of the ``P`` plain parameters in the padded vector (the order of ``to_flat``).
    """

    def __init__(self, config: MLPConfig) -> None:
        shapes, rows = config.layer_shapes(), _up(config.batch_size, ROWS)
        self.layers = np.zeros((len(shapes), FIELDS), dtype=np.int64)
        self.parameters, self.scratch = 0, 0
        places: list[NDArray[np.int64]] = []
        for index, (inputs, outputs) in enumerate(shapes):
            one, hidden = self.layers[index], index < len(shapes) - 1
            one[INPUTS], one[OUTPUTS], one[IN_ROW] = inputs, outputs, _up(inputs, LANES)
            one[COLUMNS] = _up(outputs, LANES)
            one[STORED] = _up(inputs, LANES if index else ROWS)
            one[IN] = self._take_scratch(rows * one[IN_ROW])
            if hidden:
                one[SLOPE] = self._take_scratch(rows * one[COLUMNS])
                one[TURNED] = self._take_scratch(one[COLUMNS] * one[IN_ROW] if index else 0)
            one[WEIGHTS] = self._take_parameters(one[STORED] * one[COLUMNS] if hidden else outputs * one[IN_ROW])
            one[BIAS] = self._take_parameters(one[COLUMNS])
            by_input, by_output = (one[COLUMNS], 1) if hidden else (1, one[IN_ROW])
            grid = np.arange(inputs)[:, None] * by_input + np.arange(outputs)[None, :] * by_output
            places += [one[WEIGHTS] + grid.ravel(), one[BIAS] + np.arange(outputs)]
        self.places = np.concatenate(places)

    def padded(self, flat: Float32) -> Float32:
        """Plain parameters (the order of ``to_flat``) in their padded places."""
        result = np.zeros(self.parameters, dtype=np.float32)
        result[self.places] = flat
        return result

    def _take_scratch(self, size: int) -> int:
        self.scratch += int(size)
        return self.scratch - int(size)

    def _take_parameters(self, size: int) -> int:
        self.parameters += int(size)
        return self.parameters - int(size)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
