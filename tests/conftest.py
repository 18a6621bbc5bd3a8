"""What every test shares: the Hypothesis profiles.

`ci` gives the same examples in every run; `dev` looks for new ones. HYPOTHESIS_PROFILE chooses, else `ci` where CI is
set, else `dev`.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))
