"""What a sample ran on, and whether it had the machine to itself."""
import os
import pathlib
import subprocess
import sys
import time

OTHER_CORES_MAX = 0.15  # a sample in which other processes used more is disturbed
TICKS_S = os.sysconf("SC_CLK_TCK")


def describe():
    """ "AMD EPYC, 2 cores, 24 GiB" """
    name, memory = "unknown CPU", 0
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = round(int(line.split()[1]) / (1 << 20))
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory} GiB"


def commit(folder):
    """The commit that the tree is at, with "+" where files differ from it."""
    def git(*words):
        done = subprocess.run(["git", "-C", str(folder), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout.strip()
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if git("status", "--porcelain", "-uno") else "")


def _cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


class Watch:
    """Cores that processes other than ours (and the neighbour, while there is one) used since the start."""

    def __init__(self, neighbour=None):
        self.neighbour = neighbour
        self.begun, self.others = time.monotonic(), self._others()

    def other_cores(self):
        return max(0.0, (self._others() - self.others) / max(1e-3, time.monotonic() - self.begun))

    def _others(self):
        with open("/proc/stat") as file:
            fields = [int(x) / TICKS_S for x in file.readline().split()[1:9]]
        busy_and_stolen = fields[0] + fields[1] + fields[2] + fields[5] + fields[6] + fields[7]
        t = os.times()
        ours = t.children_user + t.children_system + t.user + t.system
        return busy_and_stolen - ours - (_cpu_s(self.neighbour.pid) if self.neighbour else 0.0)


class Neighbour:
    """Another process that keeps one core busy, while this is entered."""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def peak_resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
