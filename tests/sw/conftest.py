"""What several tests of the host software use."""

import sys

import pytest

from heddle.sw import cli
from heddle.sw.host.device import Device

from ..sim.devices import DEVICES, LANES, PAGED


@pytest.fixture(params=[PAGED, LANES], ids=lambda c: c.name)
def config(request):
    """Of a device that programs run on."""
    return request.param


@pytest.fixture(params=DEVICES)
def device(request, config):
    with Device(DEVICES[request.param](config), config.name) as device:
        yield device


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
