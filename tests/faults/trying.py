"""Owns the trial of one row on a ground of one level, and the note of what came of it."""


def tried(grounds, noted, table, row, level):
    key = table, row.id, level
    noted[key] = "…", False
    try:
        ground = grounds.at(level, row.kind)
        with ground.watched():
            word = row.try_on(ground)
            noted[key] = word, False
            assert word in row.at(level), f"{word} instead of {' or '.join(row.at(level))}"
            assert ground.recorded(word), f"recorded: {ground.told}"
            ground.states_are_true(ground.scene.head)
            if row.lingers:
                ground.scene.fresh()
            ground.goes_on()
        ground.clean()
        noted[key] = word, True
    except BaseException:
        grounds.let_go()
        raise
