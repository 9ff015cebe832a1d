"""The levels without a Blender: their names, the filter's every branch, the lists of paths, control groups, probes."""

import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from needs import lacking

from protocol.errors import SetupFailed
from sandbox.confinement import bubblewrap, cgroup, confining, landlock, paths, probes, seccomp, syscalls
from sandbox.confinement.levels import Level, parse_wanted
from sandbox.limits import MIB, Limits

SANDBOX = Path(confining.LAUNCH).parent
PYTHON = Path(sys.executable)
ALLOW, KILL = 0x7FFF0000, 0x80000000
X86 = 0xC000003E


# ── levels ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_level_is_named_by_its_number_or_its_word():
    assert [Level.parse(text) for text in ("L2", "2", "confined", " Confined ")] == [Level.CONFINED] * 4
    assert parse_wanted("auto") is None and parse_wanted("L3") == Level.SANDBOXED
    assert Level.SANDBOXED > Level.CONFINED > Level.TREE > Level.PROCESS
    with pytest.raises(ValueError, match=r"'L4'; there are L0 \(process\), L1 \(tree\)"):
        Level.parse("L4")


def test_each_level_says_what_it_stops_and_what_not():
    assert all(level.stops.endswith(".") and level.does_not_stop.endswith(".") for level in Level)


# ── the filter ────────────────────────────────────────────────────────────────────────────────────────────────────────
def verdict(program, number, *arguments, arch=X86):
    """What the kernel would do: runs the program on one call."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        kind, if_true, if_false, value = code[at]
        at += 1
        if kind == 0x06:
            return value
        if kind == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        else:
            met = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value != 0}[kind]
            at += if_true if met else if_false


def refused(error=errno.EPERM):
    return 0x00050000 | error


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_refuses_what_it_lists_and_nothing_else(machine):
    arch, number = syscalls.AUDIT_ARCH[machine], syscalls.NUMBERS[machine]
    program = seccomp.program(seccomp.rules(metadata=True, truncate=True, signals_of=77), machine)

    def of(name, *arguments):
        return verdict(program, number[name], *arguments, arch=arch)

    always = {*seccomp.ALWAYS, *seccomp.METADATA, "truncate", "tkill", "pidfd_send_signal"}
    assert {of(name) for name in always & number.keys()} == {refused()}
    assert of("clone3") == refused(errno.ENOSYS)
    assert of("socket", 1) == ALLOW
    assert {of("socket", family) for family in (0, 2, 10, 16, 17, 38)} == {refused(errno.EAFNOSUPPORT)}
    assert of("clone", 0x003D0F00) == ALLOW  # a thread
    assert of("clone", 0x10000000 | signal.SIGCHLD) == of("clone", 0x20000000) == of("clone", 0x40000000) == refused()
    assert of("prlimit64", 0) == ALLOW and of("prlimit64", 1) == refused()
    assert of("setpriority", 0, 0) == ALLOW and of("setpriority", 2, 0) == of("setpriority", 0, 9) == refused()
    assert of("sched_setscheduler", 9, 0) == ALLOW and of("sched_setscheduler", 9, 1) == refused()
    assert of("kill", 77) == of("kill", 0) == of("tgkill", 77, 78) == ALLOW
    assert of("kill", 0xFFFFFFFF) == of("kill", 76) == of("tgkill", 1, 1) == refused()
    assert of("ioctl", 0, 0x5412) == of("ioctl", 0, 0x8901) == of("fcntl", 3, 8) == refused()
    assert of("ioctl", 0, 0x5401) == of("fcntl", 3, 2) == ALLOW
    listed = {
        number[rule.call] for rule in seccomp.rules(metadata=True, truncate=True, signals_of=77) if rule.call in number
    }
    assert {verdict(program, other, arch=arch) for other in set(range(480)) - listed} == {ALLOW}


def test_another_architecture_is_killed_and_x32_is_refused():
    program = seccomp.program(seccomp.rules(metadata=False, truncate=False, signals_of=None), "x86_64")
    assert verdict(program, 20, arch=0x40000003) == KILL  # 32-bit x86, whose getpid this would be
    assert verdict(program, 0x40000000 + 1) == refused(errno.ENOSYS)
    assert len(program) // 8 < 4096


def test_an_unknown_architecture_has_no_filter():
    assert seccomp.is_known("aarch64") and not seccomp.is_known("riscv64")
    with pytest.raises(KeyError):
        seccomp.program([], "riscv64")


def test_where_landlock_does_not_keep_signals_in_the_filter_does():
    source = f"""
        import os, signal, sys, fcntl
        sys.path.append({str(SANDBOX)!r})
        from confinement import capabilities, seccomp
        capabilities.forbid_new_privileges()
        seccomp.install(seccomp.program(seccomp.rules(metadata=False, truncate=False, signals_of=os.getpid())))
        def refused(what, *arguments):
            try: what(*arguments)
            except PermissionError: return True
        assert refused(os.kill, os.getppid(), 0) and refused(os.kill, -1, 0)
        assert refused(fcntl.fcntl, 0, fcntl.F_SETOWN, os.getppid())
        if hasattr(os, "pidfd_open"):
            assert refused(signal.pidfd_send_signal, os.pidfd_open(os.getppid()), 0)
        os.abort()
    """
    done = subprocess.run([PYTHON, "-ISc", textwrap.dedent(source)], stdin=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGABRT


# ── paths ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_an_environment_brings_the_installation_it_was_made_from(tmp_path):
    base, environment = tmp_path / "base" / "3.11", tmp_path / "venv"
    for folder in (base / "bin", environment / "bin"):
        folder.mkdir(parents=True)
    (base / "bin" / "python3.11").touch()
    (tmp_path / "current").symlink_to(base)
    (environment / "bin" / "python").symlink_to(tmp_path / "current" / "bin" / "python3.11")
    (environment / "pyvenv.cfg").write_text(f"home = {tmp_path / 'current' / 'bin'}\n")
    assert paths.of_python(environment / "bin" / "python") == sorted([base, tmp_path / "current", environment])


def test_a_binary_brings_its_folder_but_never_a_home(fake_blender, tmp_path, monkeypatch):
    found = paths.of_blender(fake_blender)
    assert tmp_path in found and paths.REPOSITORY / "blender_server" in found
    assert not any(path in (paths.REPOSITORY, Path.home(), Path("/")) for path in found)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "4.5").mkdir()
    found = paths.of_blender(fake_blender)
    assert tmp_path not in found and {fake_blender.executable, tmp_path / "4.5"} <= set(found)


def test_the_loader_is_told_of_our_library_folders_but_of_no_home(fake_blender, tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path / 'lib'}:relative:{Path.home()}:/:")
    away = fake_blender.model_copy(update={"executable": Path("/usr/bin/env"), "vendor": Path("/usr")})
    assert tmp_path / "lib" in paths.of_blender(away) and Path.home() not in paths.of_blender(away)


# ── command lines ─────────────────────────────────────────────────────────────────────────────────────────────────────
def test_bubblewrap_shows_what_it_is_told_and_nothing_writable_but_the_folder(tmp_path):
    command = bubblewrap.command([Path("/opt/b")], tmp_path, seccomp=7, status=8)
    assert command[command.index("--ro-bind", command.index("/tmp")) :][:3] == ["--ro-bind", "/opt/b", "/opt/b"]
    assert [command[at + 1] for at, word in enumerate(command) if word == "--bind"] == [str(tmp_path)]
    assert {"--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"} <= set(command)
    assert command[-5:] == ["--seccomp", "7", "--json-status-fd", "8", "--"]
    assert ("--uid" in command) == (os.getuid() == 0)
    assert "--dev-bind" not in command


def test_devices_are_passed_only_when_asked_for(tmp_path):
    assert "/sys/devices" not in bubblewrap.command([], tmp_path, seccomp=7, status=8)
    command = bubblewrap.command([], tmp_path, devices=["/dev/dri"], gpu=True, seccomp=7, status=8)
    assert command[command.index("--dev-bind") :][:3] == ["--dev-bind", "/dev/dri", "/dev/dri"]
    assert "/sys/devices" in command


def test_what_the_machine_lacks_is_named_with_a_remedy(monkeypatch):
    monkeypatch.setattr(bubblewrap, "find", lambda: None)
    with pytest.raises(SetupFailed, match="bubblewrap is not installed") as caught:
        confining.require(Level.SANDBOXED)
    assert "apt-get install bubblewrap" in caught.value.remedy
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with pytest.raises(SetupFailed, match="Landlock"):
        confining.require(Level.CONFINED)
    monkeypatch.setattr(confining, "LINUX", False)
    with pytest.raises(SetupFailed, match="L1 needs Linux"):
        confining.require(Level.TREE)
    confining.require(Level.PROCESS)


# ── a process at a level ──────────────────────────────────────────────────────────────────────────────────────────────
def run(level, source, folder, limits=None, **options):
    confinement = confining.confine(level, paths.of_python(PYTHON), folder, limits or Limits())
    command = confinement.command([str(PYTHON), "-I", "-S", "-c", textwrap.dedent(source)])
    fds = {"pass_fds": confinement.pass_fds, "start_new_session": True}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, **fds, **options
    )
    return done, confinement


@pytest.fixture
def reachable():
    def check(level):
        if not probes.reach().holds(level):
            lacking("; ".join(probe.detail for probe in probes.reach().of(level) if not probe.passed))

    return check


@pytest.mark.parametrize("level", list(Level), ids=str)
def test_a_process_runs_in_its_folder_and_leaves_no_descriptor_behind(level, tmp_path, reachable):
    reachable(level)
    before = len(os.listdir("/proc/self/fd"))
    done, confinement = run(level, "import os; open('made', 'w').write('x'); print(os.getcwd())", tmp_path)
    assert done.stdout == f"{tmp_path}\n" and (tmp_path / "made").exists(), done.stderr
    assert confinement.returncode(done.returncode) == 0 and not confinement.set_up_failed(done.returncode)
    confinement.close()
    confinement.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_wall_that_cannot_be_built_is_no_end_of_the_program(tmp_path, reachable):
    reachable(Level.SANDBOXED)
    confinement = confining.confine(Level.SANDBOXED, [], tmp_path, Limits())
    done = subprocess.run(
        confinement.command(["/no/such/program"]), pass_fds=confinement.pass_fds, capture_output=True, check=False
    )
    assert done.returncode != 0 and b"No such file" in done.stderr
    confinement.close()


def test_nothing_runs_half_confined(tmp_path, monkeypatch):
    if not landlock.version():
        lacking("no Landlock here")
    confinement = confining.confine(Level.CONFINED, [], tmp_path, Limits())
    confinement._settings["confined"]["write"] = [1, 2]  # what the launcher cannot make sense of
    done = subprocess.run(confinement.command(["/bin/echo", "ran"]), capture_output=True, check=False)
    assert done.returncode != 0 and b"ran" not in done.stdout
    confinement.close()


def test_root_keeps_its_name_but_nothing_else(tmp_path, reachable):
    if os.getuid() != 0:
        lacking("not root")
    reachable(Level.CONFINED)
    source = "import os, subprocess; print(os.getuid()); print(open('/proc/self/status').read())"
    done, confinement = run(Level.CONFINED, source, tmp_path)
    confinement.close()
    assert done.stdout.startswith("0\n") and done.stdout.count("0000000000000000\n") >= 5, done.stderr


def test_without_capabilities_root_may_still_signal_so_that_is_shut_separately(tmp_path):
    """The reason why Landlock's scopes, or the filter's own list, are part of L2."""
    if os.getuid() != 0:
        lacking("not root")
    source = f"""
        import os, sys
        sys.path.append({str(SANDBOX)!r})
        from confinement import capabilities
        capabilities.drop_all()
        capabilities.forbid_new_privileges()
        os.kill(os.getppid(), 0)
        try: open(f"/proc/{{os.getppid()}}/environ").read()
        except PermissionError: print("environ shut")
        os.chmod({str(tmp_path)!r}, 0o750)
    """
    done = subprocess.run([PYTHON, "-ISc", textwrap.dedent(source)], capture_output=True, text=True, check=False)
    assert done.stdout == "environ shut\n", done.stderr
    assert tmp_path.stat().st_mode & 0o777 == 0o750


# ── control groups ────────────────────────────────────────────────────────────────────────────────────────────────────
def group_with(name):
    group = cgroup.make(Limits())
    found = group is not None and any((folder / name).exists() for folder in group.folders)
    if group:
        group.remove()
    if not found:
        pytest.skip(f"no control group with {name} may be made here")


def test_the_kernel_ends_what_outgrows_its_memory(tmp_path):
    group_with("memory.limit_in_bytes" if Path("/sys/fs/cgroup/memory").exists() else "memory.max")
    source = "held = []\nwhile True: held.append(bytearray(b'x') * (8 << 20))"
    done, confinement = run(Level.TREE, source, tmp_path, Limits(memory_bytes=128 * MIB))
    assert confinement.ran_out_of_memory() or "MemoryError" in done.stderr
    confinement.close()


def test_a_fork_bomb_stops_at_its_limit_even_for_root_and_is_killed_at_one_stroke(tmp_path):
    group_with("pids.max")
    source = """
        import os, signal, sys
        started = 0
        try:
            while started < 2000:
                if os.fork() == 0:
                    os.setsid()
                    signal.pause()
                started += 1
        except BlockingIOError:
            print(started, flush=True)
        os._exit(0)
    """
    limits = Limits(processes=8)
    confinement = confining.confine(Level.TREE, paths.of_python(PYTHON), tmp_path, limits)
    command = confinement.command([str(PYTHON), "-ISc", textwrap.dedent(source)])
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert int(started.stdout.readline()) == cgroup._tasks(limits) - 1
    started.wait(10)
    assert len(confinement.group.pids()) == cgroup._tasks(limits) - 1
    assert confinement.kill() and not confinement.group.pids()
    folders = confinement.group.folders
    confinement.close()
    assert not any(folder.exists() for folder in folders)


def test_groups_that_a_dead_process_left_are_removed_by_the_next():
    group_with("cgroup.procs")
    parent = cgroup.make(Limits())
    left = parent.folders[0].with_name("seig-999999999-1")
    left.mkdir()
    cgroup.make(Limits()).remove()
    parent.remove()
    assert not left.exists()


# ── probes ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_what_stops_nothing_stops_none_of_the_attempts():
    """So that an attempt which fails elsewhere failed because it was stopped."""
    tried = probes.try_out(Level.PROCESS)
    stopped = {probe.name for probe in tried if probe.stopped}
    may_be_shut = {"make a user namespace", "trace another process", "open the kernel's settings for writing"}
    assert stopped <= may_be_shut, [p.detail for p in tried if p.stopped]
    assert all(probe.passed for probe in tried)


def test_the_probes_find_the_level_that_holds():
    reach = probes.reach()
    assert reach is probes.reach() and reach.holds(Level.PROCESS)
    assert reach.best() == max(level for level in Level if all(probe.passed for probe in reach.of(level)))
    assert all(probe.remedy for probe in reach.probes if not probe.passed)
    if landlock.version() and seccomp.is_known():
        assert reach.holds(Level.CONFINED), [probe for probe in reach.of(Level.CONFINED) if not probe.passed]


def test_a_level_whose_walls_leak_does_not_hold(monkeypatch):
    monkeypatch.setattr(
        confining, "_landlock_paths", lambda *_: {"read": ["/"], "own": [], "write": ["/"], "devices": []}
    )
    tried = probes.try_out(Level.CONFINED)
    leaks = {probe.name for probe in tried if not probe.passed}
    assert {"read a file in home", "read a file in a run folder", "write outside its folder"} <= leaks
    assert "signal another process" not in leaks


def test_a_machine_without_bubblewrap_reaches_the_level_below(monkeypatch):
    monkeypatch.setattr(bubblewrap, "find", lambda: None)
    reach = probes.reach.__wrapped__()
    assert not reach.holds(Level.SANDBOXED) and reach.best() < Level.SANDBOXED
    (probe,) = reach.of(Level.SANDBOXED)
    assert "apt-get install bubblewrap" in probe.remedy


def test_bubblewrap_that_fails_is_reported_with_what_it_said(monkeypatch, tmp_path):
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "find", lambda: str(program))
    (probe,) = probes.try_out(Level.SANDBOXED)
    assert not probe.passed and "uid map" in probe.detail and probe.remedy


def test_the_files_of_the_launcher_need_nothing_but_the_standard_library():
    names = ["capabilities", "landlock", "seccomp", "syscalls"]
    source = f"import sys; sys.path.append({str(SANDBOX)!r}); from confinement import {', '.join(names)}; print('fine')"
    done = subprocess.run([PYTHON, "-IS", "-c", source], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr
    assert ctypes.sizeof(landlock._PathBeneath) == 12
