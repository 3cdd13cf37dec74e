"""Who asks, as everything behind it knows them: what types, fields and rows are there for them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from commands.catalogue.model import Field, Link, Methods, ResourceType
from commands.resource import Resource
from gateway.access.kinds import KINDS, REGISTER, AccountKind, Filters

_NO_KIND = AccountKind(KINDS[REGISTER].rules)


@dataclass(frozen=True, slots=True)
class Caller:
    """`account` None: nobody in particular (a cloud without an admin account). `agents`: those that an agent's account speaks for."""

    account: int | None = None
    kind: str = "admin"
    agents: tuple[int, ...] = ()

    @property
    def of_kind(self) -> AccountKind:
        return KINDS.get(self.kind, _NO_KIND)

    @property
    def sees_all(self) -> bool:
        return self.of_kind.sees_all

    @property
    def user(self) -> bool:
        """Neither an admin nor one who reads as an admin does."""
        return not self.sees_all and not self.of_kind.reads_only

    @property
    def scope(self) -> int | None:
        """The account whose rows alone are seen; None: all."""
        return None if self.sees_all else (self.account or 0)

    def methods(self, type: ResourceType) -> Methods:
        return self.of_kind.rules.methods(type)

    def sees(self, type: ResourceType) -> bool:
        return not self.methods(type).hidden

    def letters(self, type: ResourceType, field: Field) -> str:
        """What it may do with a field: r(ead) c(reate) u(pdate)."""
        return self.of_kind.rules.letters(type, field)

    def reads(self, type: ResourceType, field: Field) -> bool:
        return "r" in self.letters(type, field)

    def filters(self, type: ResourceType) -> Filters:
        """What lists of the type can be filtered by, and how."""
        return self.of_kind.rules.filters(type)

    def acts(self, type: ResourceType) -> bool:
        """Whether it is offered the type's actions, and may intervene where something does not go on."""
        return self.of_kind.rules.acts(type)

    def acts_on(self, root: ResourceType, resource: Resource) -> bool:
        """Whether it may change or act on a row that it sees: readers change nothing, and users only look at what is merely public."""
        if self.of_kind.reads_only:
            return False
        return self.sees_all or "accountId" not in root.fields or self._owns(resource)

    def sees_link(self, type: ResourceType, link: Link, target: ResourceType) -> bool:
        return self.sees(target) and (link.cardinality != "ref" or self.reads(type, type.fields[link.via]))

    def sees_row(self, root: ResourceType, resource: Resource) -> bool:
        """The rule of the views' lists, for one row."""
        if self.sees_all:
            return True
        if root.name == "account":
            return resource.id == self.account
        if "accountId" not in root.fields:
            return True
        return self._owns(resource) or ("isPublic" in root.fields and resource.row.get("isPublic") is True)

    def _owns(self, resource: Resource) -> bool:
        account = resource.row.get("accountId")
        return account is not None and account == self.account
