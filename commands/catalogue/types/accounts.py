"""Whose things are: accounts, and the credentials by which they are known."""

from __future__ import annotations

from commands.catalogue.model import Field, Methods, ResourceType
from commands.catalogue.types.common import ACCOUNT, ALL, HIDDEN, LIFE, READ, actions, col, fields, fld, links, many

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
        many("agents", "agent", "accountId"),
        many("credentials", "credential", "accountId"),
        many("hosts", "host", "accountId"),
        many("images", "image", "accountId"),
        many("instances", "instance", "accountId"),
        many("physicalHosts", "physicalHost", "accountId"),
        many("storagePools", "storagePool", "accountId"),
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
    return ResourceType(name, plural, "1c", own, links(ACCOUNT), actions("credential", *LIFE), ALL, users, parent, children)


CREDENTIAL = _credential("credential", "credentials", "rcu", "", READ, parent=None, children=("apiKey", "sshKey", "registrationToken"))
API_KEY = _credential("apiKey", "apiKeys", "rcu", "r", ALL)
SSH_KEY = _credential("sshKey", "sshKeys", "rcu", "", HIDDEN)
REGISTRATION_TOKEN = _credential("registrationToken", "registrationTokens", "", "", HIDDEN)

TYPES = [ACCOUNT_TYPE, CREDENTIAL, API_KEY, SSH_KEY, REGISTRATION_TOKEN]
