"""What several tests of the host software use."""

import sys

import pytest

from heddle.sw import cli


@pytest.fixture
def heddle(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["heddle", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr()
        assert "Traceback" not in out.err
        return end.value.code or 0, " ".join((out.out + out.err).split())

    return run
