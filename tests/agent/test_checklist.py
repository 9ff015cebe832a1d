"""An item once stated stays until it is satisfied or withdrawn with a reason."""

import pytest
from pydantic import ValidationError

from agent.stages.checklist import Checklist
from agent.tools.ending import VerdictInput


def verdict(*items, decision="revise"):
    return VerdictInput.model_validate({"items": items, "critique": "go on", "decision": decision})


def stated(text, satisfied=False, **more):
    return {"text": text, "satisfied": satisfied, **more}


def test_an_item_that_a_verdict_forgets_stays_open():
    first = Checklist().after(verdict(stated("the cup is round"), stated("the plate is white")), 1)
    second = first.after(verdict(stated("the cup is round", True, id=1), decision="approve"), 2)
    assert [(item.id, item.satisfied) for item in second.items] == [(1, True), (2, False)]
    assert not second.approved


def test_all_items_satisfied_or_withdrawn_is_approval():
    first = Checklist().after(verdict(stated("a"), stated("b")), 1)
    done = [stated("a", True, id=1), stated("b", id=2, withdrawn="hidden by the cup")]
    assert first.after(verdict(*done, decision="approve"), 2).approved


def test_a_new_item_gets_the_next_number_and_the_round():
    first = Checklist().after(verdict(stated("a")), 1)
    second = first.after(verdict(stated("a", id=1), stated("b")), 2)
    assert [(item.id, item.round) for item in second.items] == [(1, 1), (2, 2)]


def test_a_verdict_cannot_approve_with_open_items_nor_revise_without_any():
    with pytest.raises(ValidationError, match="revise"):
        verdict(stated("a"), decision="approve")
    with pytest.raises(ValidationError, match="approve"):
        verdict(stated("a", True), decision="revise")


def test_a_problem_found_by_machine_holds_approval_back_and_is_told_first():
    approved = Checklist().after(verdict(decision="approve"), 1)
    held = approved.held_back_by(["Cup is missing."])
    assert approved.approved and not held.approved
    assert held.critique.startswith("Found by machine: Cup is missing.")
