"""Publish and subscribe over HTTP, for agents, handlers and watchers that have no NATS: POST and GET /v1/subscribe, POST /v1/publish.

    door.py          the paths                                       rules.py       who may hear and say what
    subscribe.py     lines of JSON, and WebSocket                    publish.py     answers, and events of anybody's
    subscriber.py    one of them, with what waits for it             heartbeats.py  pings to agents that have no heartbeat of their own
    hub.py           from NATS and the log to whom it may concern    changes.py     resource.change and state.change, off the log
    names.py         names of events, and the subjects behind them   index.py       who wants which name
"""
