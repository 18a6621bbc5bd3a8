"""Proving that the books balance: a second, independent look at everything that a log holds."""

from trigger_engine.audit.auditing import ReadableLog, audit
from trigger_engine.audit.collecting import AuditLimits
from trigger_engine.audit.report import AuditReport, Offence
from trigger_engine.audit.user_code import UserCode

__all__ = ["AuditLimits", "AuditReport", "Offence", "ReadableLog", "UserCode", "audit"]
