"""Owns what a Workbench picture shows: shapes in plain light from the camera's side, in their materials' colours.

Workbench reads no nodes, only a colour beside them that nobody sets; it is taken from them as far as they tell it.
"""

import array

BACKGROUND = (0.25, 0.25, 0.25)
EXPOSURE = 0.5
"""Stops; the light that Blender comes with leaves pictures dark."""
LARGEST_IMAGE = 4096 * 4096
"""Pixels of an image whose mean is still taken."""
DEPTH = 8
"""Links followed up from a base colour."""


def use(temporary, scene):
    """Until `temporary` ends, Workbench renders so. Lights, world and exposure of the scene count for nothing."""
    shading = scene.display.shading
    temporary.set(shading, light="STUDIO", show_shadows=False, show_xray=False, show_object_outline=False)
    temporary.set(shading, show_cavity=True, cavity_type="BOTH", show_specular_highlight=False, use_dof=False)
    temporary.set(shading, show_backface_culling=False)
    temporary.set(scene.display, render_aa="8")
    temporary.set(scene.view_settings, view_transform="Standard", look="None", exposure=EXPOSURE, gamma=1.0)
    if scene.world is not None:
        temporary.set(scene.world, color=BACKGROUND)
    painted = _set_colors(temporary, scene)
    temporary.set(shading, color_type="VERTEX" if painted else "MATERIAL")


def _set_colors(temporary, scene):
    """Of every material in the scene; True where one takes its colour from a mesh's colour attribute."""
    painted = False
    for material in {slot.material for thing in scene.objects for slot in thing.material_slots if slot.material}:
        socket = _base_color(material)
        if socket is not None:
            color, by_attribute = _followed(socket)
            painted = painted or by_attribute
            temporary.set(material, diffuse_color=(*color, 1.0))
    return painted


def _base_color(material):
    """The socket that says what colour the surface has; None where no node tells."""
    nodes = material.node_tree.nodes if material.node_tree else ()
    for node in nodes:
        if node.type == "BSDF_PRINCIPLED":
            return node.inputs["Base Color"]
    shaders = [node for node in nodes if node.type.startswith("BSDF_") or node.type == "EMISSION"]
    return next((node.inputs["Color"] for node in shaders if "Color" in node.inputs), None)


def _followed(socket):
    """(colour, whether a colour attribute drives it): the first colour found up the links, else the socket's own."""
    waiting = [(socket, 0)]
    while waiting:
        now, depth = waiting.pop(0)
        if not now.is_linked or depth > DEPTH:
            continue
        node = now.links[0].from_node
        if node.type in ("VERTEX_COLOR", "ATTRIBUTE"):
            return (1.0, 1.0, 1.0), True
        color = _color_of(node)
        if color is not None:
            return color, False
        waiting += [(each, depth + 1) for each in node.inputs if each.type in ("RGBA", "VECTOR")]
    return tuple(socket.default_value)[:3], False


def _color_of(node):
    """What a node gives, on the whole; None where that depends on what it is given."""
    if node.type == "RGB":
        return tuple(node.outputs[0].default_value)[:3]
    if node.type == "VALTORGB":
        stops = [tuple(stop.color)[:3] for stop in node.color_ramp.elements]
        return _mean(stops)
    if node.type == "TEX_IMAGE" and node.image is not None:
        return _mean_of_image(node.image)
    return None


def _mean(colors):
    return tuple(sum(channel) / len(colors) for channel in zip(*colors))


def _mean_of_image(image):
    channels, (width, height) = image.channels, image.size
    if channels < 3 or not 0 < width * height <= LARGEST_IMAGE:
        return None
    pixels = array.array("f", bytes(4 * width * height * channels))
    image.pixels.foreach_get(pixels)
    step = channels * max(1, width * height // 65536)
    mean = _mean([pixels[first : first + 3] for first in range(0, len(pixels), step)])
    is_encoded = image.colorspace_settings.name == "sRGB" and not image.is_float
    return tuple(_linear(value) for value in mean) if is_encoded else mean


def _linear(value):
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
