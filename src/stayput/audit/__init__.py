"""Audit is replay: verify a log, or one release, from bytes alone.

No network, no clock, nobody's server; whatever is needed beside the bytes to trust is given
separately.  :mod:`~stayput.audit.replay` feeds a whole log to the same state machine that the
parties ran, :mod:`~stayput.audit.release` the entries of one result,
:mod:`~stayput.audit.report` is what an auditor reads in the end.
"""

from stayput.audit.release import VerifiedRelease, bundle_release, verify_release
from stayput.audit.replay import LogReport, verify_log
from stayput.audit.report import AuditReport, Finding

__all__ = [
    "AuditReport",
    "Finding",
    "LogReport",
    "VerifiedRelease",
    "bundle_release",
    "verify_log",
    "verify_release",
]
