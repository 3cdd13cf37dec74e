"""What a turn leaves to be done: the rows of work that go with its append, from which any engine goes on. Pure."""

from __future__ import annotations

from agents.wire import partition_of
from commands.turns import purges
from commands.turns.turn import Turn
from commands.turns.unanswered import only_asked
from eventstore import Work


def work(turn: Turn) -> tuple[list[Work], list[str]]:
    """(roots that have something left to do, roots that have not) after the turn, as far as it changes anything."""
    others = {turn.root_of(stream) for stream in turn.drafted if turn.resources[stream].open} - {turn.root}
    todo = [Work(root, partition_of(root)) for root in sorted(others)]
    mine, partition = turn.ours(), partition_of(turn.root)
    if any(each.undoing or each.asides for each in mine):  # it may have been done already when a late answer came
        return [*todo, Work(turn.root, partition)], []
    if any(each.open for each in mine):
        waits_for = None if turn.waits_for or turn.wake_at else only_asked(mine)
        if waits_for == turn.waited_for:  # its row says so, or (where it waited for more then) that it is to have a turn
            return todo, []
        return [*todo, Work(turn.root, partition, waits_for=waits_for)], []
    if due := purges.next_due(turn, mine):
        return [*todo, Work(turn.root, partition, due)], []
    return todo, [turn.root]


def untouched(turn: Turn) -> dict[str, int]:
    """The root's other streams, with the versions at which the turn found nothing to do in them. For an append that declares the
    root's work done: a command that came to one of them meanwhile must not lose its work row by it."""
    drafted = turn.drafted
    return {each.stream: each.version for each in turn.ours() if each.stream not in drafted}
