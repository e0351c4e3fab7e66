"""Random inputs are the same in every run, unless `--hypothesis-profile random` asks for others."""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile("same")
