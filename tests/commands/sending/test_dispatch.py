"""When a command is sent again."""

from __future__ import annotations

from commands.sending.dispatch import Dispatch
from commands.turns.unanswered import asked_of
from commands.turns.world import World
from tests.commands.logic.test_delegation import Heard, send
from tests.support.story import a_cloud


async def test_a_command_that_nobody_heard_is_sent_again_as_soon_as_its_agent_shows_itself() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    [root] = {each.root for each in story.resources().values() if any(asked_of(each))}
    dispatch = Dispatch(Heard(), lambda root, ask: None, lambda root: None, sure=lambda: True, most=lambda: 1)
    [ask] = send(dispatch, root, World(story.catalogue, story.resources(), story.fleet))
    sent = dispatch.outstanding(ask)
    assert sent is not None
    dispatch.nudge(sent.agent)
    assert sent.until_resend > 0, "it may be at work on what was sent just now"
    dispatch.unheard(ask)
    assert sent.until_resend > 0
    dispatch.nudge(sent.agent)
    assert sent.until_resend == 0
