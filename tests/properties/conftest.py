"""Settings of the property tests: the same examples in every run, without a deadline or a database of failures."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "glan",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
settings.load_profile("glan")
