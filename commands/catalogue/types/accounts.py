"""Whose things are: accounts, the credentials by which they are known, and the machines that register for some."""

from __future__ import annotations

from commands.catalogue.model import Action, Field, Methods, ResourceType
from commands.catalogue.types.common import ACCOUNT, ALL, HIDDEN, LIFE, READ, actions, col, fields, fld, links, many, mapped, one

ACCOUNT_TYPE = ResourceType(
    "account", "accounts", "1a",
    fields(
        fld("defaultCredentialIds", "array[reference[credential]]", "rcu"),
        fld("defaultNetworkIds", "array[reference[network]]", "rcu"),
        col("externalId", "string", "rcu", max_length=255),
        col("externalIdType", "string", "rcu", max_length=128),
        account=False,
    ),
    links(
        many("agentGroups", "agentGroup", "accountId"),
        many("agents", "agent", "accountId"),
        many("credentials", "credential", "accountId"),
        many("genericObjects", "genericObject", "accountId"),
        many("hosts", "host", "accountId"),
        many("images", "image", "accountId"),
        many("instanceLinks", "instanceLink", "accountId"),
        many("instances", "instance", "accountId"),
        many("ipAddresses", "ipAddress", "accountId"),
        many("ipAssociations", "ipAssociation", "accountId"),
        many("ipPools", "ipPool", "accountId"),
        many("networkServiceProviders", "networkServiceProvider", "accountId"),
        many("networkServices", "networkService", "accountId"),
        many("networks", "network", "accountId"),
        many("nics", "nic", "accountId"),
        many("physicalHosts", "physicalHost", "accountId"),
        many("ports", "port", "accountId"),
        many("resourcePools", "resourcePool", "accountId"),
        many("storagePools", "storagePool", "accountId"),
        many("subnets", "subnet", "accountId"),
        many("vnets", "vnet", "accountId"),
        many("volumes", "volume", "accountId"),
    ),
    actions("account", *LIFE), ALL, HIDDEN,
)  # fmt: skip


def _credential(
    name: str, plural: str, admin: str, user: str, users: Methods, parent: str | None = "credential", children: tuple[str, ...] = ()
) -> ResourceType:
    """`admin` and `user`: who may do what with the two values."""
    values: tuple[Field, ...] = (
        col("publicValue", "string", admin, user, max_length=4096),
        col("secretValue", "string", admin, user, max_length=4096, secret=True),
    )
    own = fields(*values, user=not users.hidden)
    tied = links(
        ACCOUNT,
        many("credentialInstanceMaps", "credentialInstanceMap", "credentialId"),
        mapped("instances", "instance", "credentialInstanceMap", "credentialId", "instanceId"),
    )
    return ResourceType(name, plural, "1c", own, tied, actions("credential", *LIFE), ALL, users, parent, children)


CREDENTIAL = _credential("credential", "credentials", "rcu", "", READ, parent=None, children=("apiKey", "sshKey", "registrationToken"))
API_KEY = _credential("apiKey", "apiKeys", "rcu", "r", ALL)
SSH_KEY = _credential("sshKey", "sshKeys", "rcu", "", HIDDEN)
REGISTRATION_TOKEN = _credential("registrationToken", "registrationTokens", "", "", HIDDEN)

CREDENTIAL_INSTANCE_MAP = ResourceType(
    "credentialInstanceMap", "credentialInstanceMaps", "1cim",
    fields(col("credentialId", "reference[credential]", "rcu"), col("instanceId", "reference[instance]", "rcu"), account=False),
    links(one("credential", "credential"), one("instance", "instance")),
    actions("credentialInstanceMap", *LIFE), ALL, HIDDEN,
    owner="instanceId", single=(("instanceId", "credentialId"),),
)  # fmt: skip

GENERIC_OBJECT = ResourceType(
    "genericObject", "genericObjects", "1go",
    fields(col("key", "string", "r", max_length=255)),
    links(ACCOUNT), actions("genericObject", *LIFE), ALL, HIDDEN,
    children=("register",), unique=(("key",),),
)  # fmt: skip

REGISTER = ResourceType(
    "register", "register", "1go",
    fields(
        fld("accessKey", "string", "r", nullable=False),
        fld("authToken", "string", "r", nullable=False, secret=True),
        col("key", "string", "rc", required=True, max_length=255),
        fld("secretKey", "string", "r", nullable=False, secret=True),
    ),
    links(ACCOUNT),
    actions("genericObject", *LIFE, stop=Action("stop", "instanceStop", "instance")), ALL, HIDDEN,
    parent="genericObject",
)  # fmt: skip
"""A machine that asks to become an agent, under a key that it chose, and finds the agent's keys on it. Its action stop leads nowhere."""

TYPES = [ACCOUNT_TYPE, CREDENTIAL, API_KEY, SSH_KEY, REGISTRATION_TOKEN, CREDENTIAL_INSTANCE_MAP, GENERIC_OBJECT, REGISTER]
