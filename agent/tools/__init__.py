"""What a model may call: the tools, and the table of which role in which stage may call which."""
