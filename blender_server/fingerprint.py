"""stub"""
def reply():
    return {"factors": {}, "topology": {}, "objects": {}}
