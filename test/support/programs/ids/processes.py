"""Processes of Python: subprocess, multiprocessing in its ways of starting, threads, asyncio, signals, terminals' owners of files.

Prints "id N" for each id it sees.
"""
import asyncio
import fcntl
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time


def show(number):
    print("id", number, flush=True)


def square(n):
    return os.getpid(), n * n


def report(queue, lock):
    with lock:
        queue.put((os.getpid(), os.getppid()))


def with_subprocess():
    child = subprocess.Popen(["sh", "-c", "echo $$ $PPID; read line; exit 7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, parent = map(int, child.stdout.readline().split())
    assert pid == child.pid and parent == os.getpid()
    show(pid)
    child.communicate("go\n")
    assert child.returncode == 7
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid
    os.killpg(child.pid, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def with_multiprocessing(way):
    context = multiprocessing.get_context(way)
    with context.Pool(2) as pool:
        results = pool.map(square, range(40))
    assert [value for _, value in results] == [n * n for n in range(40)]
    for pid in {pid for pid, _ in results}:
        show(pid)
    queue, lock = context.Queue(), context.Lock()
    workers = [context.Process(target=report, args=(queue, lock)) for _ in range(3)]
    for worker in workers:
        worker.start()
    told = dict(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0 and worker.pid in told
    if way != "forkserver":
        assert set(told.values()) == {os.getpid()}


def with_threads():
    ids = []
    threads = [threading.Thread(target=lambda: ids.append(threading.get_native_id())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 20 and os.getpid() not in ids
    show(min(ids))
    assert threading.get_native_id() == os.getpid()
    assert str(os.getpid()) == os.readlink("/proc/self")
    assert "1" not in (tasks := os.listdir("/proc/self/task")) and str(os.getpid()) in tasks
    for task in tasks:
        show(task)


async def with_asyncio():
    children = [
        await asyncio.create_subprocess_exec("sh", "-c", f"echo $$; exit {n}", stdout=asyncio.subprocess.PIPE) for n in range(5)
    ]
    for n, child in enumerate(children):
        output, _ = await child.communicate()
        assert int(output) == child.pid and child.returncode == n
        show(child.pid)
    child = await asyncio.create_subprocess_exec("sleep", "60")
    child.terminate()
    assert await asyncio.wait_for(child.wait(), 30) == -signal.SIGTERM


def with_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    child = os.fork()
    if child == 0:
        os.kill(os.getppid(), signal.SIGUSR1)
        time.sleep(60)
        os._exit(1)
    info = signal.sigwaitinfo({signal.SIGUSR1})
    assert info.si_pid == child
    pidfd = os.pidfd_open(child)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    info = os.waitid(os.P_PID, child, os.WEXITED)
    assert info.si_pid == child and info.si_status == signal.SIGKILL
    show(info.si_pid)


def with_descriptors():
    ours, theirs = socket.socketpair()
    pid, _, _ = struct.unpack("3i", theirs.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    assert pid == os.getpid()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("3i", os.getpid(), os.getuid(), os.getgid()))])
    _, control, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(12))
    assert struct.unpack("3i", control[0][2])[0] == os.getpid()
    fcntl.fcntl(ours, fcntl.F_SETOWN, os.getpid())
    assert fcntl.fcntl(ours, fcntl.F_GETOWN) == os.getpid()


if __name__ == "__main__":
    show(os.getpid())
    show(os.getppid())
    with_signals()  # before there are threads that could take the signal
    with_subprocess()
    for way in ("fork", "spawn", "forkserver"):
        with_multiprocessing(way)
    with_threads()
    asyncio.run(with_asyncio())
    with_descriptors()
    print("PASS")
    sys.stdout.flush()
