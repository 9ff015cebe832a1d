"""stub"""
def describe(keys):
    return {"texts": {}}
def dump():
    return {"numbers": {}, "texts": {}, "meshes": {}}
