"""Would a test notice? Small wrong versions of the code, and the tests that should find them."""
