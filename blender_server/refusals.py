"""Owns how a handler says no: an error code of the wire, a sentence, data."""


class Refusal(Exception):
    """The reply to a request that cannot be done; the scene is as before, unless code that was executed changed it."""

    def __init__(self, code, message, **data):
        super().__init__(message)
        self.code, self.message, self.data = code, message, data
