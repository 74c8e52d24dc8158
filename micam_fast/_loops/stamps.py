"""Marks onto the rows of a picture: lines of text, what a mask covers, pictures, rectangles.

The rows are ``(rows, 1 + 3 * width)`` bytes, as PNG wants them: one byte before the pixels of each.
All arithmetic is Pillow's, to the bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the table of glyphs.
BEGIN, WIDTH, HEIGHT, LEFT, TOP, ADVANCE = 0, 1, 2, 3, 4, 5

OVERSAMPLING = 4
"""A pixel's coverage is the mean of so many rows and columns of finer ones."""

# Pixels between two runs that are worth a run of their own.
_GAP = 4


@njit(cache=True, nogil=True)
def set_line(
    codes: NDArray[np.uint8],
    table: NDArray[np.int64],
    glyphs: NDArray[np.uint8],
    x: int,
    y: int,
    out: NDArray[np.uint8],
) -> None:
    """Set a line of text.

    Parameters
    ----------
    codes
        Row of `table` for each character.
    table
        ``(n, 6)``: by the column constants of this module, where a glyph's mask begins in `glyphs`,
        its size, where it lies from the pen, and how far the pen goes; in fine pixels.
    glyphs
        All masks, one after the other.
    x, y
        The pen's start on the baseline, in fine pixels from the corner of `out`.
    out
        ``(height, width)``: how much of each pixel is covered, 0 to 255, written.
    """
    height, width = out.shape
    fine = np.zeros(OVERSAMPLING * height * OVERSAMPLING * width, np.uint8)
    for code in codes:
        glyph = table[code]
        for row in range(glyph[HEIGHT]):
            begin = glyph[BEGIN] + row * glyph[WIDTH]
            line = (y + glyph[TOP] + row) * OVERSAMPLING * width + x + glyph[LEFT]
            for column in range(glyph[WIDTH]):
                # Glyphs may overlap. Unsigned indices: a signed one might count from the end.
                place = np.uintp(line + column)
                fine[place] = _blend(fine[place], 255, glyphs[np.uintp(begin + column)])
        x += glyph[ADVANCE]
    for row in range(height):
        for column in range(width):
            total = np.uint32(OVERSAMPLING * OVERSAMPLING // 2)
            for i in range(OVERSAMPLING):
                begin = OVERSAMPLING * ((OVERSAMPLING * row + i) * width + column)
                for j in range(OVERSAMPLING):
                    total += np.uint32(fine[np.uintp(begin + j)])
            out[row, column] = total // np.uint32(OVERSAMPLING * OVERSAMPLING)


@njit(cache=True, nogil=True)
def find_runs(
    cover: NDArray[np.uint8],
    runs: NDArray[np.int32],
    packed: NDArray[np.uint8],
    sizes: NDArray[np.int64],
) -> None:
    """Find what a mask covers.

    Parameters
    ----------
    cover
        ``(height, width)``: how much of each pixel is covered, 0 to 255.
    runs
        ``(n, 4)``, written: row, first column, end column and begin in `packed` of each run.
    packed
        The runs' coverage, written.
    sizes
        How many runs and how much of `packed` were written.
    """
    height, width = cover.shape
    count, used = 0, 0
    for row in range(height):
        column = 0
        while column < width:
            if cover[row, column] == 0:
                column += 1
                continue
            first, end = column, column + 1
            while column < width and column < end + _GAP:
                if cover[row, column] != 0:
                    end = column + 1
                column += 1
            runs[count, 0], runs[count, 1], runs[count, 2], runs[count, 3] = row, first, end, used
            count += 1
            for i in range(first, end):
                packed[used] = cover[row, i]
                used += 1
    sizes[0], sizes[1] = count, used


def most_runs(height: int, width: int) -> int:
    """How many runs `find_runs` can find in a mask."""
    return height * ((width + _GAP) // (_GAP + 1))


@njit(cache=True, nogil=True)
def lay_runs(
    runs: NDArray[np.int32],
    packed: NDArray[np.uint8],
    x: int,
    y: int,
    colour: tuple[int, int, int],
    out: NDArray[np.uint8],
) -> None:
    """Lay a colour over rows of a picture through a mask.

    Parameters
    ----------
    runs, packed
        The mask, as `find_runs` wrote it.
    x, y
        Where its corner goes; what lies outside is left out.
    colour
        Red, green, blue.
    out
        The rows, painted over.
    """
    height, width = out.shape[0], (out.shape[1] - 1) // 3
    for run in range(runs.shape[0]):
        row = y + runs[run, 0]
        if row < 0 or row >= height:
            continue
        first = x + runs[run, 1]
        line = out[row]
        for column in range(max(first, 0), min(x + runs[run, 2], width)):
            part = packed[runs[run, 3] + column - first]
            for channel in range(3):
                place = 1 + 3 * column + channel
                line[place] = _blend(line[place], colour[channel], part)


@njit(cache=True, nogil=True)
def lay_picture(
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    x: int,
    y: int,
    out: NDArray[np.uint8],
) -> None:
    """Lay a picture over rows of another, enlarged or shrunk without smoothing.

    Parameters
    ----------
    pixels
        ``(h, w, 3)``, or ``(h, w, 4)`` with straight alpha.
    rows, columns
        Which row and column of `pixels` each row and column that is shown takes.
    x, y
        Where its corner goes; what lies outside is left out.
    out
        The rows, painted over.
    """
    height, width = out.shape[0], (out.shape[1] - 1) // 3
    first, end = max(x, 0), min(x + columns.shape[0], width)
    begin, stop = 1 + 3 * first, 1 + 3 * end
    # The last row that was laid over white, to be copied while the same row is shown again.
    laid = -1
    for row in range(max(y, 0), min(y + rows.shape[0], height)):
        line = out[row]
        source = rows[row - y]
        white = np.uint8(255)
        for place in range(begin, stop):
            white &= line[place]
        if white == 255 and laid >= 0 and rows[laid - y] == source:
            for place in range(begin, stop):
                line[place] = out[laid, place]
            continue
        for column in range(first, end):
            taken = pixels[source, columns[column - x]]
            part = np.uint8(255)
            if pixels.shape[2] == 4:
                part = taken[3]
            for channel in range(3):
                place = 1 + 3 * column + channel
                line[place] = _blend(line[place], taken[channel], part)
        laid = row if white == 255 else -1


@njit(cache=True, nogil=True)
def lay_boxes(
    boxes: NDArray[np.float64],
    colour: tuple[int, int, int],
    top: int,
    out: NDArray[np.uint8],
) -> None:
    """Lay filled rectangles over rows of a picture.

    How much of a pixel they cover together is the sum of what each covers, at most all of it:
    exact where they do not overlap, so that neighbours leave no seam.

    Parameters
    ----------
    boxes
        ``(n, 4)``: x, y, width and height, those with the least y first.
    colour
        Red, green, blue.
    top
        Which row of the page the first of `out` is.
    out
        The rows, painted over.
    """
    height, width = out.shape[0], (out.shape[1] - 1) // 3
    cover = np.zeros(width, np.float32)
    # Places of the boxes that reach into the row.
    active, count, following = np.empty(boxes.shape[0], np.int64), 0, 0
    for row in range(height):
        begin, end = float(row + top), row + top + 1.0
        while following < boxes.shape[0] and boxes[following, 1] < end:
            active[count] = following
            count += 1
            following += 1
        kept = 0
        for i in range(count):
            box = boxes[active[i]]
            down = min(box[1] + box[3], end) - max(box[1], begin)
            if down <= 0:
                continue
            active[kept] = active[i]
            kept += 1
            left, right = max(box[0], 0.0), min(box[0] + box[2], float(width))
            for column in range(int(left), int(np.ceil(right))):
                across = min(right, column + 1.0) - max(left, float(column))
                cover[column] += np.float32(across * down)
        count = kept
        for i in range(count):
            box = boxes[active[i]]
            left, right = max(box[0], 0.0), min(box[0] + box[2], float(width))
            for column in range(int(left), int(np.ceil(right))):
                # Where several boxes share a pixel, it is painted once.
                if cover[column] > 0:
                    share = min(cover[column], np.float32(1))
                    part = np.uint8(np.float32(255) * share + np.float32(0.5))
                    cover[column] = 0
                    for channel in range(3):
                        place = 1 + 3 * column + channel
                        out[row, place] = _blend(out[row, place], colour[channel], part)


@njit(cache=True, nogil=True)
def lay_plane(
    pixels: NDArray[np.uint8],
    place: tuple[float, float, float, float, float, float],
    top: int,
    out: NDArray[np.uint8],
) -> None:
    """Lay a picture on a parallelogram over rows of another, without smoothing but at its edges.

    Each pixel takes the colour at its middle. What part of it lies within is told by how far its
    middle is from each edge, as if the edge passed straight through: exact for upright edges. A
    sharp corner ends with the upright box around the parallelogram.

    Parameters
    ----------
    pixels
        ``(h, w, 3)``, or ``(h, w, 4)`` with straight alpha.
    place
        x and y of the first corner, of the vector along the first row and of the one along the
        first column, which must not be parallel.
    top
        Which row of the page the first of `out` is.
    out
        The rows, painted over.
    """
    x, y, across_x, across_y, down_x, down_y = place
    height, width = out.shape[0], (out.shape[1] - 1) // 3
    area = across_x * down_y - across_y * down_x
    # Distances between opposite edges: of the first and last column, of the first and last row.
    between_columns = abs(area) / np.hypot(down_x, down_y)
    between_rows = abs(area) / np.hypot(across_x, across_y)
    left = min(min(x, x + across_x), min(x + down_x, x + across_x + down_x))
    right = max(max(x, x + across_x), max(x + down_x, x + across_x + down_x))
    first, end = int(max(left, 0.0)), int(np.ceil(min(right, float(width))))
    for row in range(height):
        dy = row + top + 0.5 - y
        for column in range(first, end):
            dx = column + 0.5 - x
            # Where the middle lies, from 0 to 1 along each vector.
            u = (dx * down_y - dy * down_x) / area
            v = (dy * across_x - dx * across_y) / area
            part = _part_between(u, between_columns) * _part_between(v, between_rows)
            if part <= 0:
                continue
            taken = pixels[
                min(max(int(v * pixels.shape[0]), 0), pixels.shape[0] - 1),
                min(max(int(u * pixels.shape[1]), 0), pixels.shape[1] - 1),
            ]
            if pixels.shape[2] == 4:
                part *= taken[3] / 255
            share = np.uint8(255 * part + 0.5)
            for channel in range(3):
                at = 1 + 3 * column + channel
                out[row, at] = _blend(out[row, at], taken[channel], share)


@njit(cache=True, nogil=True)
def _part_between(place: float, distance: float) -> float:
    """How much of a pixel lies between two edges, if its middle is there on the way from 0 to 1."""
    after = min(max(place * distance + 0.5, 0.0), 1.0)
    before = min(max((1 - place) * distance + 0.5, 0.0), 1.0)
    return max(after + before - 1, 0.0)


@njit(cache=True, nogil=True)
def _blend(below: np.uint8 | int, above: np.uint8 | int, part: np.uint8) -> np.uint8:
    """Mix two bytes, `part` of 255 of `above`."""
    mixed = np.uint32(below) * np.uint32(255 - part) + np.uint32(above) * np.uint32(part)
    mixed += np.uint32(128)
    return np.uint8(((mixed >> np.uint32(8)) + mixed) >> np.uint32(8))
