"""Processes of Python: subprocess, multiprocessing in its ways of starting, threads, asyncio, signals, terminals' owners of files.

Prints "id N" for each id it sees. With ROUNDS, a directory, it does all this again for each file that appears there: 1, 2 and so on,
until one says "last".
"""
import asyncio
import fcntl
import multiprocessing
import os
import queue
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
    child = os.fork()
    if child == 0:
        os.kill(os.getppid(), signal.SIGUSR1)
        time.sleep(60)
        os._exit(1)
    info = signal.sigwaitinfo({signal.SIGUSR1})
    assert info.si_pid == child
    pidfd = os.pidfd_open(child)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
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


class Lasting:
    """A thread that lives through all rounds, and what the ids were in the beginning."""

    def __init__(self):
        self.questions, self.answers = queue.Queue(), queue.Queue()
        self.thread = threading.Thread(target=self.answer, daemon=True)
        self.thread.start()
        self.before = self.ids()

    def answer(self):
        while True:
            self.questions.get()
            self.answers.put(threading.get_native_id())

    def ids(self):
        self.questions.put("who")
        return os.getpid(), os.getppid(), os.getpgid(0), os.getsid(0), threading.get_native_id(), self.answers.get()

    def check(self):
        assert self.ids() == self.before
        thread = self.before[-1]
        assert thread == self.thread.native_id != os.getpid()
        assert os.sched_getaffinity(thread) and os.path.isdir(f"/proc/self/task/{thread}")
        signal.pthread_kill(self.thread.ident, 0)
        os.kill(thread, 0)


def rounds():
    """Yields whether it is the last round."""
    directory = os.environ.pop("ROUNDS", None)
    number, word = 1, "last" if directory is None else ""
    while word != "last":
        print("ready", number, flush=True)
        while not word:
            time.sleep(0.01)
            if os.path.exists(f"{directory}/{number}"):
                word = open(f"{directory}/{number}").read()
        if word != "last":
            yield False
            number, word = number + 1, ""
    yield True


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # before there are threads that could take it
    lasting = Lasting()
    for is_last in rounds():
        lasting.check()
        show(os.getpid())
        show(os.getppid())
        with_signals()
        with_subprocess()
        # The other two leave a helper process behind.
        for way in ("fork", "spawn", "forkserver") if is_last else ("fork",):
            with_multiprocessing(way)
        with_threads()
        asyncio.run(with_asyncio())
        with_descriptors()
    print("PASS")
    sys.stdout.flush()
