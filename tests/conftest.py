"""What all tests share: nothing they use may be in what they write."""

pytest_plugins = ["tests.leaks"]
