"""Owns the tables behind the factors: which property and which datablock counts as what. How they are read: `factors`.

What no table names is covered all the same: an object's property as structure, a kind of datablock as host.
"""

FACTORS = ("structure", "geometry", "transform", "material", "camera", "light", "world", "view", "host")

OWN_FACTOR = {"CAMERA": "camera", "LIGHT": "light", "LIGHT_PROBE": "light"}
"""Types of objects that are a factor of their own."""

TRANSFORM = {
    "location", "rotation_mode", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "scale", "constraints",
    "delta_location", "delta_rotation_euler", "delta_rotation_quaternion", "delta_scale", "matrix_parent_inverse",
}  # fmt: skip
GEOMETRY = {
    "data", "modifiers", "vertex_groups", "particle_systems", "soft_body", "rigid_body", "rigid_body_constraint",
    "collision", "field", "pose", "grease_pencil_modifiers", "shader_effects", "show_only_shape_key",
    "use_shape_key_edit_mode", "add_rest_position_attribute",
}  # fmt: skip
MATERIAL = {"color", "pass_index"}
NO_SCENE = {
    "material_slots", "bound_box", "dimensions", "matrix_local", "matrix_world", "matrix_basis", "display",
    "display_type", "display_bounds_type", "empty_display_type", "empty_display_size", "hide_select", "motion_path",
    "animation_visualization", "use_camera_lock_parent", "use_mesh_mirror_x", "use_mesh_mirror_y", "use_mesh_mirror_z",
    "use_dynamic_topology_sculpting", "image_user", "up_axis", "track_axis", "use_empty_image_alpha",
    "use_grease_pencil_lights",
}  # fmt: skip
"""Of an object: derived, or for the eyes of an editing user only."""
NO_HOST = {
    "name", "objects", "collection", "camera", "world", "cursor", "tool_settings", "view_settings", "display_settings",
    "transform_orientation_slots", "safe_areas", "grease_pencil", "annotation", "node_tree", "keying_sets_all",
    "use_stamp_note", "view_layers", "display",
    "sequence_editor",
}  # fmt: skip
"""Of a scene: in other factors, or for the eyes of an editing user only."""
LAYER_FLAGS = ("exclude", "holdout", "indirect_only", "hide_viewport")
COLLECTION = {"hide_viewport", "hide_render", "instance_offset"}
DATA = {
    # collection of bpy.data → factor of what is in it
    "meshes": "geometry", "curves": "geometry", "metaballs": "geometry", "lattices": "geometry", "fonts": "geometry",
    "armatures": "geometry", "hair_curves": "geometry", "pointclouds": "geometry", "volumes": "geometry",
    "grease_pencils": "geometry", "grease_pencils_v3": "geometry", "shape_keys": "geometry", "particles": "geometry",
    "materials": "material", "images": "material", "textures": "material", "node_groups": "material",
    "cameras": "camera", "lights": "light", "lightprobes": "light", "worlds": "world",
    "actions": "host", "libraries": "host", "sounds": "host", "speakers": "host", "movieclips": "host",
    "masks": "host", "cache_files": "host", "texts": "host", "annotations": "host",
}  # fmt: skip
ELSEWHERE = {"objects", "collections", "scenes"}
NO_DATA = {"brushes", "palettes", "paint_curves", "screens", "window_managers", "workspaces", "linestyles"}
SHARED = {"images", "textures", "node_groups"}
TREE_FACTORS = {"GEOMETRY": "geometry", "SHADER": "material", "TEXTURE": "material", "COMPOSITING": "host"}
USER_FACTORS = {
    "material": "material", "world": "world", "light": "light", "object": "geometry", "mesh": "geometry",
    "particlesettings": "geometry", "scene": "host", "camera": "camera", "volume": "geometry", "lightprobe": "light",
}  # fmt: skip
TOO_MUCH = {
    # what the readers of elements read in the place of a walk
    "mesh": {"vertices", "edges", "loops", "polygons", "attributes", "color_attributes", "uv_layers", "materials"}
    | {"vertex_colors", "loop_triangles", "loop_triangle_polygons", "vertex_normals", "corner_normals", "skin_vertices"}
    | {"polygon_normals", "vertex_layers_float", "vertex_layers_int", "vertex_layers_string", "vertex_paint_masks"}
    | {"polygon_layers_float", "polygon_layers_int", "polygon_layers_string", "sculpt_vertex_colors", "face_maps"}
    | {"edge_creases", "vertex_creases", "uv_layer_clone", "uv_layer_stencil", "vertex_color_clone"},
    "curves": {"points", "position_data", "normals", "color_attributes", "materials"},
    "pointcloud": {"points", "color_attributes", "materials"},
    "curve": {"materials"},
    "metaball": {"materials"},
    "shapekey": {"points"},
}
