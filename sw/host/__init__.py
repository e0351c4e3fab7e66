"""The device as a user sees it: opened, driven, tested; results checked and counted."""
