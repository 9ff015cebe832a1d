"""stub"""
def inspect(subject, name=""):
    return {"what": {}}
