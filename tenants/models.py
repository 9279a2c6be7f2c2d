"""Shared tables: tenants, the host names they answer to, people, and who belongs where as what."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac
from django_tenants.models import DomainMixin, TenantMixin

# Reserved by PostgreSQL, by us, or confusing as a host name.
RESERVED_SLUGS = frozenset(
    {
        "public",
        "template",
        "information_schema",
        "www",
        "api",
        "admin",
        "static",
        "localhost",
        "aii",
    }
)


class Tenant(TenantMixin):
    """A customer: a schema of its own, reached by its host names."""

    slug = models.CharField(
        max_length=40,
        unique=True,
        validators=[
            RegexValidator(
                r"^[a-z][a-z0-9]{1,39}\Z", "Use 2 to 40 small letters and digits, a letter first."
            )
        ],
    )
    name = models.CharField(max_length=100)
    provisioned_at = models.DateTimeField()
    provisioned_by = models.CharField(max_length=200)
    # Owners, auditors and whoever acts on conserved quantities need one anyway.
    second_factor_for_all = models.BooleanField(default=False)
    # Owners may still use their passwords: the way back in when a provider is away.
    single_sign_on_required = models.BooleanField(default=False)

    # The schema is made by services.provision_tenant, in the same transaction as this row.
    auto_create_schema = False
    auto_drop_schema = False

    class Meta:
        ordering: ClassVar = ["slug"]

    def __str__(self) -> str:
        return self.name


class Domain(DomainMixin):
    """A host name that leads to a tenant."""

    def __str__(self) -> str:
        return self.domain


class UserManager(BaseUserManager["User"]):
    """People, found by e-mail without regard to case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a person; without a password nobody can sign in as them."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        """Find by e-mail, as the authentication backend asks."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser):
    """A person, shared by all tenants; what they may do hangs on their memberships."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100, blank=True)
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField()
    # Raised to end every session of the person, in all tenants.
    session_epoch = models.PositiveIntegerField(default=0)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="user_email_lower"
            )
        ]

    def __str__(self) -> str:
        return self.email

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # What a session is sealed with: a new password or a higher epoch breaks every seal.
        return salted_hmac(
            "tenants.models.User.session",
            f"{self.session_epoch}:{self.password}",
            secret=secret,
            algorithm="sha256",
        ).hexdigest()


class Membership(models.Model):
    """A person's role in a tenant."""

    class Role(models.TextChoices):
        """What a member may do; ``tenants.permissions`` says what each includes."""

        OWNER = "OWNER", "Owner"
        OPERATOR = "OPERATOR", "Operator"
        AUDITOR = "AUDITOR", "Auditor"
        VIEWER = "VIEWER", "Viewer"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)
    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=200)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "tenant"], name="membership_once_per_tenant")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant} as {self.role}"


class Invitation(models.Model):
    """A person who may join a tenant, once, with a code that only its hash is kept of.

    Shared like memberships. A tenant's role may add and withdraw those of its own tenant; who they
    are for, as what, with which code and until when cannot be changed. Taking one up is a function
    of the database (``members.functions``).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Membership.Role)
    code_sha256 = models.CharField(max_length=64, unique=True)
    invited_at = models.DateTimeField()
    invited_by_email = models.EmailField()
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)
    # Passwords that were tried with this code for an account that exists.
    tries = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "email"],
                name="invitation_once_per_person",
                condition=models.Q(accepted_at__isnull=True, withdrawn_at__isnull=True),
            ),
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="invitation_email_lower"
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Membership.Role.values), name="invitation_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"
