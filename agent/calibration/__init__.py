"""How far a stage's verifier can be trusted: scenes of known worth, judged by it, and its rates of error."""
