"""The kernel's own initiator, open-iscsi: disks, a file system on one, files, and an end."""

import glob
import os
import re
import subprocess
import time

from .stage import check

MODULES = ("crc32c_generic", "iscsi_tcp", "sd_mod", "ext4")
NAME = "iqn.2025-01.org.mirrorcast.test:kernel"
FILES = 40
# How iscsiadm ends after a login that it need not try again, or where nothing was proved.
REFUSED = (19, 24)


def is_ready(device):
    """Its name is there a little before it can be opened."""
    try:
        os.close(os.open(device, os.O_RDONLY))
    except OSError:
        return False
    return True


class KernelInitiator:
    """The daemon `iscsid`, and what it attaches."""

    def __init__(self, stage):
        stage.need_tools("iscsid", "iscsiadm", "mkfs.ext4", "e2fsck")
        self.stage = stage
        self.sessions = []
        os.makedirs("/run/lock/iscsi", exist_ok=True)
        name = stage.path("initiatorname")
        with open(name, "w") as file:
            file.write(f"InitiatorName={NAME}\n")
        log = open(stage.path("iscsid.log"), "w")
        daemon = subprocess.Popen(
            ["iscsid", "-f", "-c", "/etc/iscsi/iscsid.conf", "-i", name],
            stdout=log, stderr=subprocess.STDOUT)
        stage.stack.callback(daemon.wait)
        stage.stack.callback(daemon.kill)
        stage.stack.callback(self._log_out)

    def discover(self, portal):
        """The targets there."""
        deadline = time.monotonic() + 30
        while True:
            done = self.stage.tool(
                "iscsiadm", "-m", "discovery", "-t", "st", "-p", portal, limit=60, status=None)
            # Its daemon is only just starting.
            if "can not connect to iSCSI daemon" not in done.err or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        check(done.status == 0, f"discovery at {portal}:\n{done.tail()}")
        return re.findall(r"\s(iqn\.\S+)", done.out)

    def discover_proved(self, portal, proof):
        """The targets there, to who proves who it is."""
        words = ("iscsiadm", "-m", "discoverydb", "-t", "st", "-p", portal)
        self.stage.tool(*words, "-o", "new")
        for name, value in proof.items():
            self.stage.tool(*words, "-o", "update", "-n", f"discovery.sendtargets.auth.{name}",
                            "-v", value)
        done = self.stage.tool(*words, "--discover", limit=60, status=None)
        return re.findall(r"\s(iqn\.\S+)", done.out)

    def _set(self, portal, iqn, settings):
        for name, value in settings.items():
            self.stage.tool("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "-o", "update",
                            "-n", f"node.{name}", "-v", value)

    def check_refused(self, portal, iqn, settings):
        """A login with these settings comes to nothing."""
        self._set(portal, iqn, settings)
        done = self.stage.tool("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "--login",
                               limit=60, status=None)
        check(done.status in REFUSED, f"{iqn} with {settings}:\n{done.tail()}")

    def attach(self, portal, iqn, settings=None):
        """Logs in, with settings of the node's record; the path of the disk."""
        before = set(glob.glob("/sys/block/sd*"))
        self._set(portal, iqn, settings or {})
        self.stage.tool("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "--login", limit=60)
        self.sessions.append((iqn, portal))
        deadline = time.monotonic() + 30
        while True:
            new = set(glob.glob("/sys/block/sd*")) - before
            devices = [f"/dev/{os.path.basename(path)}" for path in new]
            if devices and all(map(is_ready, devices)):
                break
            check(time.monotonic() < deadline, "logged in, and no disk has come")
            time.sleep(0.05)
        check(len(devices) == 1, f"more than one disk: {devices}")
        return devices[0]

    def detach(self, portal, iqn):
        self.stage.tool("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "--logout", limit=60)
        self.sessions.remove((iqn, portal))

    def _log_out(self):
        for iqn, portal in self.sessions:
            self.stage.tool("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "--logout",
                            status=None)


def write_files(stage, folder):
    """A tree of files; their names and bytes."""
    wanted = {}
    for index in range(FILES):
        name = f"{folder}/{index % 4}/{index}"
        os.makedirs(os.path.dirname(name), exist_ok=True)
        wanted[name] = os.urandom(1 + index * 997)
        with open(name, "wb") as file:
            file.write(wanted[name])
    return wanted


def check_files(wanted):
    for name, content in wanted.items():
        with open(name, "rb") as file:
            check(file.read() == content, f"{name} has other bytes")


def check_served(stage, initiator, leg, mirror, others):
    """A file system made, used, and checked on a LUN by the kernel, then mirrored to other legs.

    `mirror(path)` mirrors what is at a path to `others`.
    """
    found = initiator.discover(leg.portal)
    check(found == [leg.iqn], f"discovered {found}, not {leg.iqn}")
    disk = initiator.attach(leg.portal, leg.iqn)
    stage.tool("mkfs.ext4", "-q", disk)
    folder = stage.path("mounted")
    os.makedirs(folder)
    stage.stack.callback(subprocess.run, ["umount", folder], stderr=subprocess.DEVNULL)
    stage.tool("mount", disk, folder)
    wanted = write_files(stage, folder)
    stage.tool("umount", folder)
    stage.tool("e2fsck", "-f", "-n", disk)
    # Detached and attached, nothing is in the kernel's cache; digests are checked by the kernel.
    initiator.detach(leg.portal, leg.iqn)
    disk = initiator.attach(leg.portal, leg.iqn, {
        f"conn[0].iscsi.{name}": "CRC32C" for name in ("HeaderDigest", "DataDigest")})
    session = glob.glob("/sys/class/iscsi_connection/connection*")[0]
    for name in ("header_digest", "data_digest"):
        with open(f"{session}/{name}") as file:
            check(file.read().strip() == "1", f"the session has no {name}")
    stage.tool("mount", "-o", "ro", disk, folder)
    check_files(wanted)
    stage.tool("umount", folder)
    mirror(disk)
    initiator.detach(leg.portal, leg.iqn)
    for other in others:
        stage.check_same(stage.path(leg.name), stage.path(other.name))
        stage.tool("e2fsck", "-f", "-n", stage.path(other.name))
    stage.say(f"the kernel's initiator: discovery, login, ext4 with {FILES} files, clean; "
              f"its LUN is on {len(others)} others, clean, too")


def check_proved(stage, initiator, leg, own, targets):
    """Both prove who they are, for a discovery and a login, by MD5 and by SHA-256 alone; neither
    lets the other in without. `own`, `targets`: (account, secret).
    """
    proof = {"authmethod": "CHAP", "username": own[0], "password": own[1],
             "username_in": targets[0], "password_in": targets[1]}
    wrong = "another-secret"
    found = initiator.discover_proved(leg.portal, {**proof, "password": wrong})
    check(found == [], f"discovered without the secret: {found}")
    found = initiator.discover_proved(leg.portal, proof)
    check(found == [leg.iqn], f"discovered {found}, not {leg.iqn}")
    wanted = os.urandom(1 << 20)
    for algorithm in ("MD5", "SHA256"):
        settings = {f"session.auth.{name}": value
                    for name, value in {**proof, "chap_algs": algorithm}.items()}
        for name in ("password", "password_in") if algorithm == "SHA256" else ():
            initiator.check_refused(
                leg.portal, leg.iqn, {**settings, f"session.auth.{name}": wrong})
        disk = initiator.attach(leg.portal, leg.iqn, settings)
        if algorithm == "MD5":
            with open(disk, "r+b") as file:
                file.write(wanted)
                os.fsync(file.fileno())
        else:
            with open(disk, "rb") as file:
                check(file.read(len(wanted)) == wanted, f"{disk} has other bytes")
        initiator.detach(leg.portal, leg.iqn)
    stage.say("CHAP both ways, in discovery and login, by MD5 and by SHA-256: let in by the right "
              "secrets alone, on both sides")
