"""A Redis whose clock a test can set: a small library, loaded before its own, adds an offset to the time of day."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from services.servers import RedisServer

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile const long long *offset_s;

__attribute__((constructor)) static void map_offset(void) {
    int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    offset_s = mmap(0, sizeof *offset_s, PROT_READ, MAP_SHARED, file, 0);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int told = real(now, zone);
    now->tv_sec += *offset_s;
    return told;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int told = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += *offset_s;
    return told;
}

time_t time(time_t *at) {
    struct timeval now;
    gettimeofday(&now, 0);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


class JumpingRedis(RedisServer):
    """`jump` moves its clock; leases, ages and ids of entries go by it."""

    def __init__(self, folder: Path, *, executable: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler: sudo apt-get install gcc libc6-dev")
        super().__init__(folder, executable=executable)
        folder.mkdir(parents=True, exist_ok=True)
        source, self._library, self._offset = (folder / name for name in ("clock.c", "clock.so", "offset"))
        source.write_text(_SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(source), "-ldl"], check=True)
        self._offset_s = 0
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Set its clock forward, or back where `seconds` is negative."""
        self._offset_s += seconds
        mode = "r+b" if self._offset.exists() else "wb"
        with self._offset.open(mode) as file:
            file.write(struct.pack("q", self._offset_s))

    def _command(self) -> list[str]:
        return ["/usr/bin/env", f"LD_PRELOAD={self._library}", f"CLOCK_OFFSET={self._offset}", *super()._command()]
