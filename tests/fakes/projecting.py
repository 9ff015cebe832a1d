"""Where a camera of a data set sees points of the world, for tests that compare it with pictures."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage


def seen_at(camera, points):
    """Pixels from the left and the top, of points in Blender's world."""
    to_camera = np.linalg.inv(np.array(camera.to_world))
    x, y, z = (np.asarray(points) @ to_camera[:3, :3].T + to_camera[:3, 3]).T
    across, down = camera.center_px
    return np.stack([across + camera.focal_px * x / -z, down + camera.focal_px * y / z], axis=1)


def silhouette(camera, points, triangles):
    """Every pixel that a triangle touches."""
    image, spots = Image.new("1", (camera.width_px, camera.height_px)), seen_at(camera, points)
    drawing = ImageDraw.Draw(image)
    for triangle in triangles:
        drawing.polygon([tuple(spots[corner]) for corner in triangle], fill=1)
    return np.asarray(image)


def farthest_px(first, second):
    """How far the pixels that one mask has and the other lacks lie from the other, at most."""
    return max(ndimage.distance_transform_edt(~one)[other].max() for one, other in ((first, second), (second, first)))
