"""Tables without a life of their own: what was leased, what agents are configured with, what was run and when, what operators set."""

from __future__ import annotations

from commands.catalogue.model import Action, ResourceType
from commands.catalogue.types.common import ACCOUNT, ALL, LOOK, READ, col, fields, links, many, one, plain

RESOURCE_POOL = ResourceType(
    "resourcePool", "resourcePools", "1rp",
    fields(
        col("item", "string", "r", max_length=255),
        col("ownerId", "int", "rcu"),
        col("ownerType", "string", "r", max_length=255),
        col("poolId", "int", "rcu"),
        col("poolType", "string", "r", max_length=255),
        col("qualifier", "string", "r", max_length=128),
        states=(),
    ),
    links(ACCOUNT), {}, ALL,
    unique=(("poolType", "poolId", "qualifier", "item"),),
)  # fmt: skip
"""What is leased of addresses, macs and ports: one row an item."""

CONFIG_ITEM = ResourceType(
    "configItem", "configItems", "1ci",
    plain(col("id", "int", "r"), col("name", "string", "rcu", max_length=255), col("sourceVersion", "string", "rcu", max_length=1024)),
    {}, {}, ALL,
    unique=(("name",),),
)  # fmt: skip

CONFIG_ITEM_STATUS = ResourceType(
    "configItemStatus", "configItemStatuses", "1cis",
    plain(
        col("id", "int", "r"),
        col("name", "string", "rcu", max_length=255),
        col("agentId", "reference[agent]", "rcu"),
        col("appliedUpdated", "date", "rcu"),
        col("appliedVersion", "int", "rcu", nullable=False),
        col("requestedUpdated", "date", "rcu", nullable=False),
        col("requestedVersion", "int", "rcu", nullable=False),
        col("sourceVersion", "string", "rcu", max_length=255),
    ),
    links(one("agent", "agent")), {}, ALL,
    unique=(("name", "agentId"),),
)  # fmt: skip

DATA = ResourceType(
    "data", "datas", "1d",
    plain(
        col("id", "int", "r"),
        col("name", "string", "rcu", max_length=255),
        col("value", "string", "rcu", max_length=65535, secret=True),
        col("visible", "boolean", "r", nullable=False, default=True),
    ),
    {}, {}, ALL,
    unique=(("name",),),
)  # fmt: skip

SETTING = ResourceType(
    "setting", "settings", "1s",
    plain(
        col("id", "int", "r"),
        col("name", "string", "rc", max_length=255),
        col("value", "string", "rcu", max_length=1024),
        col("secretValue", "string", max_length=1024, secret=True, filtered=False),
    ),
    {}, {}, ALL,
)  # fmt: skip
"""`secretValue`: what a setting has in the place of its `value` if its name says that it is a secret (commands.settings)."""

TASK = ResourceType(
    "task", "tasks", "1t",
    plain(col("id", "int", "r"), col("name", "string", "rcu", max_length=128)),
    links(many("taskInstances", "taskInstance", "taskId")), {"execute": Action("execute", output="task")}, READ,
    unique=(("name",),),
)  # fmt: skip

TASK_INSTANCE = ResourceType(
    "taskInstance", "taskInstances", "1ti",
    plain(
        col("id", "int", "r"),
        col("name", "string", "rcu", max_length=128),
        col("endTime", "date", "r"),
        col("exception", "string", "r", max_length=255),
        col("serverId", "string", "rcu", max_length=128),
        col("startTime", "date", "r", nullable=False),
        col("taskId", "reference[task]", "rcu", nullable=False),
    ),
    links(one("task", "task")), {}, LOOK,
)  # fmt: skip

PROCESS_INSTANCE = ResourceType(
    "processInstance", "processInstances", "1pi",
    plain(
        col("data", "map[json]", "rcu", max_length=65535),
        col("id", "int", "r"),
        col("endTime", "date", "r"),
        col("exitReason", "string", "r", max_length=128),
        col("phase", "string", "r", max_length=128),
        col("priority", "int", "r"),
        col("processName", "string", "r", max_length=128),
        col("resourceId", "string", "rcu", max_length=128),
        col("resourceType", "string", "r", max_length=128),
        col("result", "string", "r", max_length=128),
        col("runningProcessServerId", "string", "rcu", max_length=128),
        col("startProcessServerId", "string", "rcu", max_length=128),
        col("startTime", "date", "r"),
    ),
    links(many("processExecutions", "processExecution", "processInstanceId")), {}, READ,
)  # fmt: skip

PROCESS_EXECUTION = ResourceType(
    "processExecution", "processExecutions", "1pe",
    plain(
        col("id", "int", "r"),
        col("uuid", "string", "rc", max_length=128),
        col("log", "map[json]", "r", max_length=16777215),
        col("processInstanceId", "reference[processInstance]", "rcu", nullable=False),
    ),
    links(one("processInstance", "processInstance")), {}, READ,
)  # fmt: skip

CHANGE_LOG = ResourceType(
    "databasechangelog", "databasechangelogs", "1d",
    plain(
        col("description", "string", "rcu", max_length=255),
        col("id", "string", "r", nullable=False),
        col("author", "string", "r", max_length=255),
        col("comments", "string", "r", max_length=255),
        col("dateexecuted", "date", "r", nullable=False),
        col("exectype", "string", "r", max_length=10),
        col("filename", "string", "r", max_length=255),
        col("liquibase", "string", "r", max_length=20),
        col("md5sum", "string", "r", max_length=35),
        col("orderexecuted", "int", "r", nullable=False),
        col("tag", "string", "r", max_length=255),
    ),
    {}, {}, LOOK,
)  # fmt: skip
"""Of Cattle's database. Always empty here, as the one below: clients read their schemas."""

CHANGE_LOG_LOCK = ResourceType(
    "databasechangeloglock", "databasechangeloglocks", "1d",
    plain(
        col("id", "int", "r"),
        col("locked", "boolean", "r", nullable=False),
        col("lockedby", "string", "r", max_length=255),
        col("lockgranted", "date", "r"),
    ),
    {}, {}, LOOK,
)  # fmt: skip

TYPES = [
    RESOURCE_POOL, CONFIG_ITEM, CONFIG_ITEM_STATUS, DATA, SETTING, TASK, TASK_INSTANCE, PROCESS_INSTANCE, PROCESS_EXECUTION,
    CHANGE_LOG, CHANGE_LOG_LOCK,
]  # fmt: skip
