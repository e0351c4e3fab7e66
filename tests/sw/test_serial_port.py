"""What a user is told of a serial port that cannot be had, or breaks."""

import errno
import os
import threading
import tty

import pytest
import serial

from hw.config import Config
from hw.formats import INT8
from sim.link_model import LinkModel
from sw import cli, serial_port
from sw.errors import DeviceError
from sw.serial_port import SerialPort

TINY = Config("tiny", 2, 2, INT8, activation_groups=16, weight_slots=16, schedule_records=16)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "sudo usermod -aG dialout"),
        (errno.EBUSY, "is in use: close the other program"),
        (errno.ENOENT, "there is no port /dev/ttyX; serial ports on USB: none"),
        (errno.ENOTTY, "is no serial port"),
        (errno.EIO, "cannot open /dev/ttyX at 1,000,000 baud"),
    ],
)
def test_a_port_that_cannot_be_opened(number, words, monkeypatch):
    def refuse(*arguments, **options):
        raise serial.SerialException(number, f"could not open port: {os.strerror(number)}")

    monkeypatch.setattr(serial, "Serial", refuse)
    monkeypatch.setattr(serial_port, "paths", list)
    with pytest.raises(DeviceError, match=words):
        SerialPort("/dev/ttyX")


@pytest.fixture
def unplugged():
    """The path of a port whose device answers some requests, then is gone."""
    master, slave = os.openpty()
    tty.setraw(slave)
    device = LinkModel(TINY)

    def serve(answers: int = 30):
        while answers:
            reply = device.feed(os.read(master, 4096))
            answers -= bool(reply)
            os.write(master, reply)
        os.close(slave)
        os.close(master)

    thread = threading.Thread(target=serve)
    thread.start()
    yield os.ttyname(slave)
    thread.join()


def test_a_cable_that_is_pulled(unplugged, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["heddle", "selftest", "--device", unplugged])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out = capsys.readouterr()
    assert end.value.code == 1
    assert "Traceback" not in out.out + out.err
    assert "check the cable, then run again" in " ".join((out.out + out.err).split())
