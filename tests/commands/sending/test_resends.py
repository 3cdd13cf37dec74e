"""What the log says of agents and handlers that do not answer: enough to see it, and no more."""

from __future__ import annotations

from structlog.testing import capture_logs

from commands.sending.resends import TOLD_SECONDS, Resends


def test_a_silent_agent_is_told_at_once_and_then_once_a_minute_with_what_was_sent_meanwhile() -> None:
    resends = Resends()
    with capture_logs() as lines:
        for second in range(int(TOLD_SECONDS) * 2 + 1):
            for ask in ("a", "b"):
                resends.count((7, 0), ask, f"corral.agent.a7.{ask}", "instance-1")
            resends.tell(float(second))
    assert [(each["agent"], each["commands"], each["times"]) for each in lines] == [(7, 2, 2), (7, 2, 120), (7, 2, 120)]
    assert (lines[0]["subject"], lines[0]["stream"], lines[0]["action"]) == ("corral.agent.a7.b", "instance-1", "resend")


def test_each_silent_one_has_a_minute_of_its_own() -> None:
    resends = Resends()
    with capture_logs() as lines:
        resends.count((7, 0), "a", "corral.agent.a7.x", "instance-1")
        resends.tell(0.0)
        resends.count((0, 3), "b", "corral.handler.demo.x", "instance-2")
        resends.tell(1.0)
    assert [each.get("agent", each.get("handler")) for each in lines] == [7, 3]


def test_who_answers_again_is_forgotten_and_told_at_once_the_next_time() -> None:
    resends = Resends()
    with capture_logs() as lines:
        resends.count((7, 0), "a", "x", "instance-1")
        resends.tell(0.0)
        resends.tell(TOLD_SECONDS)
        resends.count((7, 0), "c", "x", "instance-1")
        resends.tell(TOLD_SECONDS + 1)
    assert [each["times"] for each in lines] == [1, 1]
