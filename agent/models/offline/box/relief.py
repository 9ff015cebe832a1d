"""A solid between a front and a back sheet over a grid of the picture, cut out along an outline."""
# mypy: ignore-errors
# ruff: noqa: B905, UP


def relief(lens, plane, corner, step, inside, front, back=None, floor=False):
    """(vertices, faces, smooth faces) of the solid that a grid of the picture describes.

    `lens` is (camera x, y, z, focal length, picture's middle x, y, sine and cosine of its pitch), `plane` the y of the
    upright plane between the sheets, `corner` and `step` the grid in pixels. `inside` holds rows of numbers, positive
    within the outline (marching squares cut between the signs); `front` and `back` rows of tenths of pixels that the
    sheets stand before and behind the plane, beyond the outline: of its nearest place. No back: as far as the front.
    All points move along the camera's rays, so the outline is seen as it is drawn; with a `floor` they stop short of
    the ground z = 0.
    """
    if back is None:
        back = front
    columns, spots, flat = len(inside[0]), {}, []

    def spot(a, b):
        """Number of the point at grid corner `a`, or between `a` and `b` where `inside` changes its sign."""
        key = (min(a, b), max(a, b))
        if key not in spots:
            spots[key] = len(flat)
            (i, j), (k, m) = divmod(a, columns), divmod(b, columns)
            p, q = inside[i][j], inside[k][m]
            t = 0.0 if a == b else p / float(p - q)
            beyond = (i, j) if p < q else (k, m)
            flat.append((j + t * (m - j), i + t * (k - i), front[beyond[0]][beyond[1]], back[beyond[0]][beyond[1]]))
        return spots[key]

    cells = []
    for row in range(len(inside) - 1):
        for column in range(columns - 1):
            a = row * columns + column
            ring = (a, a + columns, a + columns + 1, a + 1)
            signs = [inside[n // columns][n % columns] > 0 for n in ring]
            if all(signs):
                cells.append([spot(n, n) for n in ring])
            elif signs in ([True, False, True, False], [False, True, False, True]):
                for n in (0, 1, 2, 3):
                    if signs[n]:
                        here = ring[n]
                        cells.append([spot(here, ring[n - 1]), spot(here, here), spot(here, ring[(n + 1) % 4])])
            elif any(signs):
                polygon = []
                for n in range(4):
                    here, after = ring[n], ring[(n + 1) % 4]
                    if signs[n]:
                        polygon.append(spot(here, here))
                    if signs[n] != signs[(n + 1) % 4]:
                        polygon.append(spot(here, after))
                cells.append(polygon)
    return stand_up(lens, plane, corner, step, flat, cells, floor)


def stand_up(lens, plane, corner, step, flat, cells, floor):
    """Both sheets along the camera's rays, and a wall wherever an edge belongs to one cell only."""
    x0, y0, z0, focal, middle_x, middle_y, sine, cosine = lens
    sheets = ([], [])
    for column, row, before, behind in flat:
        across = (corner[0] + column * step - middle_x) / focal
        down = (corner[1] + row * step - middle_y) / focal
        ray = (across, cosine - down * sine, -sine - down * cosine)
        reach = (plane - y0) / ray[1]
        most = -z0 / ray[2] if floor and ray[2] < 0 else 2 * reach
        for sheet, offset, short in ((sheets[0], -before, 0.995), (sheets[1], behind, 0.999)):
            t = min(reach * (1 + 0.1 * offset / focal), most * short)
            sheet.append((x0 + ray[0] * t, y0 + ray[1] * t, z0 + ray[2] * t))
    count, once = len(flat), {}
    for cell in cells:
        for here, after in zip(cell, cell[1:] + cell[:1]):
            if (after, here) in once:
                del once[after, here]
            else:
                once[here, after] = True
    faces = [tuple(cell) for cell in cells] + [tuple(n + count for n in reversed(cell)) for cell in cells]
    walls = [(after, here, here + count, after + count) for here, after in once]
    return sheets[0] + sheets[1], faces + walls, 2 * len(cells)
